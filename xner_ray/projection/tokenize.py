"""Judged rows to tokens and BIO2 tags: what a student trains on.

Cutting words is a loop (a regular expression a sentence, `words.py`); everything after it, from character spans to
tags, runs on flat columns. Rows that were not kept get no tokens, since all-O tags would claim that they hold no
entity.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from xner_ray import schema
from xner_ray.text.arrow_kernels import bool_mask, char_lengths, list_offsets
from xner_ray.text.token_spans import token_ranges, with_marks
from xner_ray.text.words import tokenize_words


def export(table: pa.Table, quoted: Sequence[str] = ()) -> pa.Table:
    """Add `tokens` and `ner_tags`.

    Args:
        table: columns of schema.JUDGED.
        quoted: languages in which the quotation marks around a name belong to it.

    Returns:
        schema.EXPORTED, same rows in the same order; both lists are empty unless the row is kept or kept_no_entity.
    """
    table = table.select(schema.JUDGED.names).cast(schema.JUDGED)
    batches = [_export(batch, quoted) for batch in table.to_batches() if batch.num_rows]
    return pa.Table.from_batches(batches, schema=schema.EXPORTED)


def _export(batch: pa.RecordBatch, quoted: Sequence[str]) -> pa.RecordBatch:
    kept = pc.is_in(batch.column("verdict"), value_set=pa.array([schema.KEPT, schema.KEPT_NO_ENTITY]))
    targets, languages = batch.column("target"), batch.column("language")
    texts: list[str] = []
    positions: list[tuple[int, int]] = []
    counts = np.zeros(batch.num_rows, np.int64)
    for i, (text, language, keep) in enumerate(
        zip(targets.to_pylist(), languages.to_pylist(), kept.to_pylist(), strict=True)
    ):
        if keep:
            spans = tokenize_words(text, language)
            texts += [text[a:b] for a, b in spans]
            positions += spans
            counts[i] = len(spans)
    tokens = pa.array(texts, pa.string())
    # Characters are numbered through the batch, one number unused between rows, so that no span reaches into the next.
    base = np.concatenate([[0], np.cumsum(char_lengths(targets) + 1)])[:-1]
    edges = np.array(positions, np.int64).reshape(-1, 2) + np.repeat(base, counts)[:, None]
    marked = bool_mask(pc.is_in(languages, value_set=pa.array(quoted, pa.string())))
    tags = _tags(batch.column("spans"), base, edges, tokens, marked)
    offsets = pa.array(np.concatenate([[0], np.cumsum(counts)]).astype(np.int32))
    lists = [pa.ListArray.from_arrays(offsets, values) for values in (tokens, tags)]
    return pa.RecordBatch.from_arrays([*batch.columns, *lists], schema=schema.EXPORTED)


def _tags(spans: pa.ListArray, base: np.ndarray, edges: np.ndarray, tokens: pa.Array, marked: np.ndarray) -> pa.Array:
    """BIO2 tags of all words of a batch; names of `marked` rows with the quotation marks around them."""
    struct = spans.flatten()
    rows = np.repeat(np.arange(len(spans)), np.diff(list_offsets(spans)))
    types = struct.field("type").dictionary_encode()
    starts, ends = (struct.field(name).to_numpy() + base[rows] for name in ("start", "end"))
    first, last = token_ranges(starts, ends, edges[:, 0], edges[:, 1], tokens)
    some = first < last
    first, last, kind = first[some], last[some], types.indices.to_numpy()[some]
    if marked.any():
        row_of = np.searchsorted(base, edges[:, 0], side="right")
        first, last = with_marks(first, last, tokens, row_of, marked[rows[some]])
    sizes = last - first
    before = np.concatenate([[0], np.cumsum(sizes)])[:-1]
    codes = np.zeros(len(tokens), np.int32)
    codes[np.repeat(first - before, sizes) + np.arange(sizes.sum())] = np.repeat(2 + 2 * kind, sizes)
    codes[first] = 1 + 2 * kind
    labels = ["O"] + [f"{prefix}-{name}" for name in types.dictionary.to_pylist() for prefix in ("B", "I")]
    return pa.array(labels, pa.string()).take(pa.array(codes))


def unlabeled(table: pa.Table) -> int:
    """Spans of an exported table that took no word (see `spans.py`), so that their sentence lacks an entity."""
    given = pc.sum(pc.list_value_length(table.column("spans"))).as_py() or 0
    tags = pc.list_flatten(table.column("ner_tags"))
    return given - (pc.sum(pc.starts_with(tags, "B-")).as_py() or 0)
