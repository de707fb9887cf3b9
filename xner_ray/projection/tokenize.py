"""Filtered rows to tokens and BIO2 tags: the training sentences of a student.

Word segmentation is a loop, one regular expression for each sentence (`text/words.py`). Everything after it, from character
spans to tags, runs on flat columns. Only kept rows get tokens, because all-O tags of the others would mean that they have no
entity.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from xner_ray import schema
from xner_ray.text.arrow_kernels import bool_mask, char_lengths, list_offsets
from xner_ray.text.token_spans import token_ranges, with_marks
from xner_ray.text.words import tokenize_words

_ROW_GROUP = 4096


def tokenize_table(table: pa.Table, quotes_inside_entity: Sequence[str] = ()) -> pa.Table:
    """Add the columns `tokens` and `ner_tags`.

    Args:
        table: columns of schema.FILTERED.
        quotes_inside_entity: languages in which the quotation marks around a name are part of the entity.

    Returns:
        schema.EXPORTED, the same rows in the same order. Both lists are empty in rows whose verdict is neither kept nor
        kept_no_entity.
    """
    table = table.select(schema.FILTERED.names).cast(schema.FILTERED)
    batches = [_tokenize_batch(batch, quotes_inside_entity) for batch in table.to_batches() if batch.num_rows]
    return pa.Table.from_batches(batches, schema=schema.EXPORTED)


def count_unlabeled_spans(table: pa.Table) -> int:
    """Number of spans of a tokenized table that contain no word (see `token_spans.py`), so that an entity is missing."""
    num_spans = pc.sum(pc.list_value_length(table.column("spans"))).as_py() or 0
    tags = pc.list_flatten(table.column("ner_tags"))
    return num_spans - (pc.sum(pc.starts_with(tags, "B-")).as_py() or 0)


def write_tokenized(tables: Iterable[pa.Table], path: Path) -> dict[str, int]:
    """Write tokenized rows as a Parquet file of schema.EXPORTED.

    Settings and the size of row groups are fixed, so equal rows give equal bytes.

    Args:
        tables: results of `tokenize_table`, of any number of rows each.
        path: of the new file.

    Returns:
        The numbers of sentences, entities, and unlabeled (spans without a word).
    """
    counts = {"sentences": 0, "entities": 0, "unlabeled": 0}
    with pq.ParquetWriter(path, schema.EXPORTED, compression="zstd", compression_level=3, version="2.6") as writer:
        for part in _row_groups(tables):
            counts["sentences"] += part.num_rows
            counts["entities"] += pc.sum(pc.list_value_length(part.column("spans"))).as_py()
            counts["unlabeled"] += count_unlabeled_spans(part)
            writer.write_table(part, row_group_size=_ROW_GROUP)
    return counts


def _row_groups(tables: Iterable[pa.Table]) -> Iterable[pa.Table]:
    """The same rows in tables of _ROW_GROUP rows; the last one may be shorter."""
    pending: list[pa.Table] = []
    for table in tables:
        pending.append(table)
        if sum(t.num_rows for t in pending) >= _ROW_GROUP:
            rest = pa.concat_tables(pending)
            while rest.num_rows >= _ROW_GROUP:
                yield rest.slice(0, _ROW_GROUP).combine_chunks()
                rest = rest.slice(_ROW_GROUP)
            pending = [rest]
    if sum(t.num_rows for t in pending):
        yield pa.concat_tables(pending).combine_chunks()


def _tokenize_batch(batch: pa.RecordBatch, quotes_inside_entity: Sequence[str]) -> pa.RecordBatch:
    is_kept = pc.is_in(batch.column("verdict"), value_set=pa.array([schema.KEPT, schema.KEPT_NO_ENTITY]))
    targets, languages = batch.column("target"), batch.column("language")
    texts: list[str] = []
    positions: list[tuple[int, int]] = []
    counts = np.zeros(batch.num_rows, np.int64)
    for i, (text, language, kept) in enumerate(
        zip(targets.to_pylist(), languages.to_pylist(), is_kept.to_pylist(), strict=True)
    ):
        if kept:
            words = tokenize_words(text, language)
            texts += [text[a:b] for a, b in words]
            positions += words
            counts[i] = len(words)
    tokens = pa.array(texts, pa.string())
    # Characters are numbered through the batch, with one unused number between rows, so that no span reaches the next row.
    row_starts = np.concatenate([[0], np.cumsum(char_lengths(targets) + 1)])[:-1]
    words = np.array(positions, np.int64).reshape(-1, 2) + np.repeat(row_starts, counts)[:, None]
    includes_quotes = bool_mask(pc.is_in(languages, value_set=pa.array(quotes_inside_entity, pa.string())))
    tags = _bio2_tags(batch.column("spans"), row_starts, words, tokens, includes_quotes)
    offsets = pa.array(np.concatenate([[0], np.cumsum(counts)]).astype(np.int32))
    lists = [pa.ListArray.from_arrays(offsets, values) for values in (tokens, tags)]
    return pa.RecordBatch.from_arrays([*batch.columns, *lists], schema=schema.EXPORTED)


def _bio2_tags(
    spans: pa.ListArray, row_starts: np.ndarray, words: np.ndarray, tokens: pa.Array, includes_quotes: np.ndarray
) -> pa.Array:
    """BIO2 tags of all words of a batch: string [words].

    Args:
        spans: schema.SPANS of the rows.
        row_starts: int64 [rows], number of each row's first character.
        words: int64 [words, 2], numbers of the words' first and last (exclusive) characters.
        tokens: string [words].
        includes_quotes: bool [rows], rows in which the quotation marks around a name are part of the entity.
    """
    struct = spans.flatten()
    rows = np.repeat(np.arange(len(spans)), np.diff(list_offsets(spans)))
    types = struct.field("type").dictionary_encode()
    starts, ends = (struct.field(name).to_numpy() + row_starts[rows] for name in ("start", "end"))
    first, last = token_ranges(starts, ends, words[:, 0], words[:, 1], tokens)
    has_word = first < last
    first, last, type_codes = first[has_word], last[has_word], types.indices.to_numpy()[has_word]
    if includes_quotes.any():
        word_rows = np.searchsorted(row_starts, words[:, 0], side="right")
        first, last = with_marks(first, last, tokens, word_rows, includes_quotes[rows[has_word]])
    sizes = last - first
    before = np.concatenate([[0], np.cumsum(sizes)])[:-1]
    codes = np.zeros(len(tokens), np.int32)
    codes[np.repeat(first - before, sizes) + np.arange(sizes.sum())] = np.repeat(2 + 2 * type_codes, sizes)
    codes[first] = 1 + 2 * type_codes
    labels = ["O"] + [f"{prefix}-{name}" for name in types.dictionary.to_pylist() for prefix in ("B", "I")]
    return pa.array(labels, pa.string()).take(pa.array(codes))
