"""Queries of the aligner: segment A is the name of an entity, segment B is the target sentence.

Entities of a row with the same text and type are one query. Each name and each target is tokenized once, and the rows of
token ids are joined by index arithmetic. The queries of a whole shard are in memory at once, about 200 bytes for each target
token of each query.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from xner_ray import schema
from xner_ray.alignment.candidates import Candidates
from xner_ray.alignment.spans import Spans
from xner_ray.encoders.ragged import Ragged, offsets_of, ranges
from xner_ray.encoders.tokenizer import Tokenizer, Tokens
from xner_ray.encoders.windowing import sliding_windows
from xner_ray.ner.pretokenize import TARGET, tokens_and_words
from xner_ray.ner.word_spans import WordSpans
from xner_ray.text.arrow_kernels import group_starts, list_offsets, substrings
from xner_ray.text.languages import get_language

NAME_FRACTION = 4  # a name takes at most one fourth of the model's length, so that the sentence has most of it


@dataclass(frozen=True)
class Mentions:
    """Entities of a table. All arrays have one element for each entity, in the table's order.

    Attributes:
        query_ids: int64, the entity's query.
        starts, ends: int64, half-open character span in the source sentence.
    """

    query_ids: np.ndarray
    starts: np.ndarray
    ends: np.ndarray

    def __len__(self) -> int:
        return len(self.query_ids)


@dataclass(frozen=True)
class Queries:
    """Distinct entities (text and type) of each row of a table, ordered by row and entity.

    Attributes:
        names: distinct entity texts of the table.
        name_ids: int64 [queries], index into `names`.
        rows: int64 [queries], row of the table.
        entities: int64 [queries], index in the row's `entities` of the first entity with this text and type.
        mentions: all entities.
    """

    names: list[str]
    name_ids: np.ndarray
    rows: np.ndarray
    entities: np.ndarray
    mentions: Mentions

    @classmethod
    def from_table(cls, table: pa.Table) -> Queries:
        """Return the queries of a table with the columns `source` and `entities` (schema.ENTITIES)."""
        batch = table.select(["source", "entities"]).combine_chunks()
        if not batch.num_rows:
            none = np.zeros(0, np.int64)
            return cls([], none, none, none, Mentions(none, none, none))
        entities, sources = (_as_array(batch.column(c)) for c in ("entities", "source"))
        counts = np.diff(list_offsets(entities))
        rows = np.repeat(np.arange(len(counts)), counts)
        index = np.arange(len(rows)) - np.repeat(offsets_of(counts)[:-1], counts)
        struct = entities.flatten()
        starts, ends = (struct.field(f).to_numpy().astype(np.int64) for f in ("start", "end"))
        names = substrings(sources, rows, starts, ends).dictionary_encode()
        name_ids = names.indices.to_numpy().astype(np.int64)
        types = struct.field("type").dictionary_encode().indices.to_numpy()
        order = np.lexsort((types, name_ids, rows))  # stable: equal entities stay in the table's order
        is_first = group_starts(rows[order], name_ids[order], types[order])
        first_of_query = order[is_first]
        first = np.sort(first_of_query)
        query_ids = np.empty(len(order), np.int64)
        query_ids[order] = np.searchsorted(first, first_of_query)[np.cumsum(is_first) - 1]
        mentions = Mentions(query_ids, starts, ends)
        return cls(names.dictionary.to_pylist(), name_ids[first], rows[first], index[first], mentions)

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, query_ids: np.ndarray) -> Queries:
        """Select queries, with their mentions.

        Args:
            query_ids: int64 [selected], ascending.
        """
        position = np.full(len(self), -1)
        position[query_ids] = np.arange(len(query_ids))
        new_ids = position[self.mentions.query_ids]
        kept = new_ids >= 0
        mentions = Mentions(new_ids[kept], self.mentions.starts[kept], self.mentions.ends[kept])
        return Queries(self.names, self.name_ids[query_ids], self.rows[query_ids], self.entities[query_ids], mentions)

    def mention_counts(self) -> np.ndarray:
        """Number of mentions: int64 [queries]."""
        return np.bincount(self.mentions.query_ids, minlength=len(self))


@dataclass(frozen=True)
class QueryTexts:
    """The distinct sentence pairs of queries.

    Attributes:
        sources, targets: raw strings, one for each pair.
        pair_ids: int64 [queries], the pair of each query.
        words: the words of the targets.
        tokens: the tokens of the targets, where they were tokenized before.
        language: of the targets, ISO 639-1.
        source_tokens: the tokens of the sources in the similarity's tokenizer, where they were tokenized before.
    """

    sources: list[str]
    targets: list[str]
    pair_ids: np.ndarray
    words: WordSpans
    tokens: Tokens | None
    language: str
    source_tokens: Tokens | None = None

    def take_queries(self, query_ids: np.ndarray) -> QueryTexts:
        """Return the pairs of a selection of queries, int64 [selected]."""
        pairs, pair_ids = np.unique(self.pair_ids[query_ids], return_inverse=True)
        return QueryTexts(
            [self.sources[i] for i in pairs],
            [self.targets[i] for i in pairs],
            pair_ids,
            self.words.take(pairs),
            self.tokens.take(pairs) if self.tokens else None,
            self.language,
            self.source_tokens.take(pairs) if self.source_tokens else None,
        )

    @cached_property
    def target_strings(self) -> pa.StringArray:
        """`targets` as an Arrow array."""
        return pa.array(self.targets, pa.string())

    @property
    def uses_spaces(self) -> bool:
        """Whether the target language separates words by spaces."""
        return get_language(self.language).uses_spaces

    def spans_of(self, candidates: Candidates) -> Spans:
        """Return the spans of candidates in `targets`."""
        return Spans(self.pair_ids[candidates.query_ids], candidates.starts, candidates.ends)


def query_texts(table: pa.Table, queries: Queries, language: str, source_side: int | None = None) -> QueryTexts:
    """Return the sentence pairs of queries.

    Args:
        table: columns `source` and `target`. With schema.PRETOKENIZED the targets are not tokenized again.
        queries: of this table.
        language: of the targets, ISO 639-1.
        source_side: part of schema.PRETOKENIZED with the sources in the similarity's tokenizer; None: there is none.
    """
    rows, pair_ids = np.unique(queries.rows, return_inverse=True)
    sources, targets = (pc.take(table.column(c), pa.array(rows)).to_pylist() for c in ("source", "target"))
    tokens = source_tokens = None
    if schema.PRETOKENIZED.name in table.column_names:
        all_tokens, all_words = tokens_and_words(table, TARGET)
        tokens, words = all_tokens.take(rows), all_words.take(rows)
        if source_side is not None:
            source_tokens = tokens_and_words(table, source_side)[0].take(rows)
    else:
        words = WordSpans.from_texts(targets, language)
    return QueryTexts(sources, targets, pair_ids.astype(np.int64), words, tokens, language, source_tokens)


def _as_array(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks)


@dataclass(frozen=True)
class EncodedQueries:
    """Queries as token ids.

    Attributes:
        ids: token ids, rows `<s> name </s></s> target </s>`. A long target takes several rows.
        segment_ids: of the same shape.
        target_positions: int64 [target tokens of all queries], index in `ids.values` of each query's target tokens.
        tokens: the tokens of the distinct targets (`QueryTexts.targets`).
        num_truncated_names: queries whose name was truncated.
        num_windowed: queries whose target needed several rows.
    """

    ids: Ragged
    segment_ids: Ragged
    target_positions: np.ndarray
    tokens: Tokens
    num_truncated_names: int
    num_windowed: int


def encode_queries(tokenizer: Tokenizer, queries: Queries, texts: QueryTexts, max_length: int) -> EncodedQueries:
    """Encode names and targets as pairs of segments.

    Args:
        tokenizer: of the aligner.
        queries: at least their names.
        texts: of the queries.
        max_length: longest row that the model takes, special tokens included.
    """
    tokens = tokenizer(texts.targets) if texts.tokens is None else texts.tokens
    names, is_truncated = truncate(tokenizer(queries.names).ids, max_length // NAME_FRACTION)
    num_special = len(tokenizer.prefix) + len(tokenizer.middle) + len(tokenizer.suffix)
    name_ids = queries.name_ids
    windows = sliding_windows(tokens.ids.take(texts.pair_ids), max_length - num_special - names.lengths[name_ids])
    first_segments = names.take(name_ids[windows.rows])
    ids, segment_ids = tokenizer.pair_with_special_tokens(first_segments, windows.ids)
    second_starts = ids.offsets[:-1] + tokenizer.second_segment_starts(first_segments)
    positions = ranges(second_starts, windows.ids.lengths)[windows.positions]
    return EncodedQueries(
        ids, segment_ids, positions, tokens, int(is_truncated[name_ids].sum()), windows.windowed_rows
    )


def truncate(ids: Ragged, max_tokens: int) -> tuple[Ragged, np.ndarray]:
    """Return the first `max_tokens` tokens of each row, and which rows were longer: bool [rows]."""
    lengths = np.minimum(ids.lengths, max_tokens)
    truncated = Ragged(ids.values[ranges(ids.offsets[:-1], lengths)], offsets_of(lengths))
    return truncated, lengths < ids.lengths
