"""What the aligner is asked: segment A is an entity's English name, segment B the target sentence.

Equal entities of a row (surface and type) are one query. Each name and each target is tokenized once, however many
queries they are in, and rows of token ids are joined by index arithmetic. What it trades: a shard's questions are in
memory at once, about 200 bytes a target token and query.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from xner_ray.encoders.ragged import Ragged, offsets_of, ranges
from xner_ray.encoders.tokenizer import Tokenizer, Tokens
from xner_ray.encoders.windowing import sliding_windows
from xner_ray.text.arrow_strings import list_offsets, slices

NAME_SHARE = 4  # a name takes at most one fourth of the model's length, so that the sentence keeps most of it


@dataclass(frozen=True)
class Queries:
    """Distinct queries of a table, ordered by row and entity.

    Attributes:
        names: distinct English names.
        name, row, entity: int64 [queries]: index into `names`; the table's row; index in the row's `entities` of the
            first entity with this name and type.
        mentions: int64 [entities of the table, 3], in the table's order: query, start and end (characters of the source).
    """

    names: list[str]
    name: np.ndarray
    row: np.ndarray
    entity: np.ndarray
    mentions: np.ndarray

    def __len__(self) -> int:
        return len(self.row)


def queries_of(table: pa.Table) -> Queries:
    """The queries of a table with the columns `source` and `entities`."""
    batch = table.select(["source", "entities"]).combine_chunks()
    if not batch.num_rows:
        none = np.zeros(0, np.int64)
        return Queries([], none, none, none, none.reshape(0, 3))
    entities, source = (_array(batch.column(c)) for c in ("entities", "source"))
    counts = np.diff(list_offsets(entities))
    rows = np.repeat(np.arange(len(counts)), counts)
    index = np.arange(len(rows)) - np.repeat(offsets_of(counts)[:-1], counts)
    struct = entities.flatten()
    starts, ends = (struct.field(f).to_numpy() for f in ("start", "end"))
    coded = slices(source, rows, starts, ends).dictionary_encode()
    names = coded.indices.to_numpy().astype(np.int64)
    types = struct.field("type").dictionary_encode().indices.to_numpy()
    order = np.lexsort((types, names, rows))  # stable: of equal entities the first stays first
    new = np.ones(len(order), bool)
    keys = (rows[order], names[order], types[order])
    new[1:] = np.any([k[1:] != k[:-1] for k in keys], axis=0)
    heads = order[new]  # the first entity of each query
    first = np.sort(heads)
    query = np.empty(len(order), np.int64)
    query[order] = np.searchsorted(first, heads)[np.cumsum(new) - 1]
    mentions = np.stack([query, starts.astype(np.int64), ends.astype(np.int64)], axis=1)
    return Queries(coded.dictionary.to_pylist(), names[first], rows[first], index[first], mentions)


def _array(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks)


@dataclass(frozen=True)
class Questions:
    """Queries as token ids.

    Attributes:
        ids, types: rows `<s> name </s></s> target </s>` and their segment ids; a long target takes several rows.
        answers: int64 [sum of the target tokens of all queries]: the position in `ids.values` that answers each.
        tokens: of the distinct targets. text: int64 [queries], which of them a query asks about.
        cut_names, windowed: names that were cut, queries that needed windows.
    """

    ids: Ragged
    types: Ragged
    answers: np.ndarray
    tokens: Tokens
    text: np.ndarray
    cut_names: int
    windowed: int


def questions(
    tokenizer: Tokenizer,
    names: list[str],
    name: np.ndarray,
    texts: Sequence[str],
    text: np.ndarray,
    limit: int,
    tokens: Tokens | None = None,
) -> Questions:
    """Join names and targets.

    Args:
        names, texts: distinct names and targets.
        name, text: int64 [queries], indices into them.
        limit: longest row that the model takes, special tokens included.
        tokens: of the targets, where they were tokenized before.
    """
    tokens = tokenizer(texts) if tokens is None else tokens
    first, cut_names = shorten(tokenizer(names).ids, limit // NAME_SHARE)
    frame = len(tokenizer.prefix) + len(tokenizer.middle) + len(tokenizer.suffix)
    cut = sliding_windows(tokens.ids.take(text), limit - frame - first.lengths[name])
    asked = first.take(name[cut.rows])
    ids, types = tokenizer.pair_with_special_tokens(asked, cut.ids)
    second = ranges(ids.offsets[:-1] + tokenizer.second_segment_starts(asked), cut.ids.lengths)
    return Questions(ids, types, second[cut.positions], tokens, text, int(cut_names[name].sum()), cut.windowed_rows)


def shorten(ids: Ragged, room: int) -> tuple[Ragged, np.ndarray]:
    """The first `room` tokens of each row, and bool [rows]: which rows were longer."""
    lengths = np.minimum(ids.lengths, room)
    return Ragged(ids.values[ranges(ids.offsets[:-1], lengths)], offsets_of(lengths)), lengths < ids.lengths


def rows_asked(table: pa.Table, queries: Queries) -> tuple[np.ndarray, list[str], list[str], np.ndarray]:
    """The rows that queries ask about, ordered, their sources and targets, and int64 [queries]: the index of each query's."""
    rows, text = np.unique(queries.row, return_inverse=True)
    sources, targets = (pc.take(table.column(c), pa.array(rows)).to_pylist() for c in ("source", "target"))
    return rows, sources, targets, text.astype(np.int64)
