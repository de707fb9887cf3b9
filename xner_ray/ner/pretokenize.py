"""Pieces and words of both sides as one Arrow column, so that they are cut on CPUs and nobody holds a GPU meanwhile.

Of the time that labeling and aligning take besides the model, cutting is four fifths. The pieces and words of a row lie in one
list, told apart by `kind`, since a stage over shards adds one column; it travels with the shard and is not kept.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from xner_ray import schema
from xner_ray.encoders.ragged import Ragged, concatenate, offsets_of
from xner_ray.encoders.tokenizer import Tokenizer, Tokens
from xner_ray.ner.token_labels import Words, words_of
from xner_ray.text.arrow_strings import list_offsets

SOURCE, TARGET = 0, 2  # `kind` of a side's pieces; its words are the next one


def cut_table(
    table: pa.Table, source: tuple[Tokenizer | None, str], target: tuple[Tokenizer | None, str]
) -> pa.ListArray:
    """schema.CUT of a table with the columns `source` and `target`.

    Args:
        source, target: tokenizer (None: no pieces) and language of the side.
    """
    ids: list[Ragged] = []
    starts: list[Ragged] = []
    ends: list[Ragged] = []
    kinds: list[Ragged] = []
    for kind, side, (tokenizer, language) in ((SOURCE, "source", source), (TARGET, "target", target)):
        texts = table.column(side).to_pylist()
        tokens, words = tokenizer(texts) if tokenizer else _no_tokens(len(texts)), words_of(texts, language)
        for k, first, last, numbers, offsets in (
            (kind, tokens.starts, tokens.ends, tokens.ids.values, tokens.ids.offsets),
            (kind + 1, words.starts, words.ends, np.zeros(len(words.starts)), words.offsets),
        ):
            for parts, values in ((ids, numbers), (starts, first), (ends, last)):
                parts.append(Ragged(values.astype(np.int32), offsets))
            kinds.append(Ragged(np.full(len(first), k, np.int8), offsets))
    offsets = concatenate(kinds).offsets
    columns = [pa.array(concatenate(parts).values) for parts in (kinds, ids, starts, ends)]
    values = pa.StructArray.from_arrays(columns, fields=list(schema.CUT.type.value_type))
    return pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), values, type=schema.CUT.type)


def pieces_and_words(table: pa.Table, side: int) -> tuple[Tokens, Words]:
    """What `cut_table` found in SOURCE or TARGET. Raises: KeyError where the table has no such column."""
    column = table.column(schema.CUT.name).combine_chunks()
    rows = np.repeat(np.arange(len(column)), np.diff(list_offsets(column)))
    kind, ids, starts, ends = (array.to_numpy() for array in column.flatten().flatten())
    found = []
    for wanted in (side, side + 1):
        mine = kind == wanted
        found.append((ids[mine], starts[mine], ends[mine], offsets_of(np.bincount(rows[mine], minlength=len(column)))))
    (ids, *spans, offsets), (_, first, last, words) = found
    return Tokens(Ragged(ids, offsets), *spans), Words(first.astype(np.int64), last.astype(np.int64), words)


def _no_tokens(rows: int) -> Tokens:
    none = np.zeros(0, np.int32)
    return Tokens(Ragged(none, np.zeros(rows + 1, np.int64)), none, none)
