"""Tokens and words of both sides as one Arrow column, computed on CPUs before a shard reaches a GPU.

Of the work of labeling and aligning beside the model, tokenization is four fifths. A stage over shards adds one column, so the
tokens and words of a row are in one list, and `kind` distinguishes them. The column travels with the shard and is not stored.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from xner_ray import schema
from xner_ray.encoders.ragged import Ragged, hstack, offsets_of
from xner_ray.encoders.tokenizer import Tokenizer, Tokens
from xner_ray.ner.word_spans import WordSpans
from xner_ray.text.arrow_kernels import list_offsets

SOURCE, TARGET = 0, 2  # `kind` of a side's tokens; the kind of its words is one more
SIMILARITY_SOURCE = 4  # of the source's tokens for the similarity, where its tokenizer is not the teacher's


def pretokenize_table(
    table: pa.Table,
    source: tuple[Tokenizer | None, str],
    target: tuple[Tokenizer | None, str],
    similarity: Tokenizer | None = None,
) -> pa.ListArray:
    """Tokenize both sides of a table.

    Args:
        table: with the columns `source` and `target`.
        source, target: tokenizer and language (ISO 639-1) of the side. Without a tokenizer the side has words, but no tokens.
        similarity: adds tokens of the source for the similarity.

    Returns:
        schema.PRETOKENIZED, one list for each row.
    """
    kinds: list[Ragged] = []
    ids: list[Ragged] = []
    starts: list[Ragged] = []
    ends: list[Ragged] = []
    sides = [(SOURCE, "source", source), (TARGET, "target", target), (SIMILARITY_SOURCE, "source", (similarity, None))]
    for kind, side, (tokenizer, language) in sides:
        texts = table.column(side).to_pylist()
        tokens = tokenizer(texts) if tokenizer else _no_tokens(len(texts))
        words = WordSpans.from_texts(texts, language) if language else WordSpans.from_lists([[]] * len(texts))
        for part_kind, part_ids, spans, offsets in (
            (kind, tokens.ids.values, tokens, tokens.ids.offsets),
            (kind + 1, np.zeros(len(words.starts)), words, words.offsets),
        ):
            kinds.append(Ragged(np.full(len(part_ids), part_kind, np.int8), offsets))
            for column, values in ((ids, part_ids), (starts, spans.starts), (ends, spans.ends)):
                column.append(Ragged(values.astype(np.int32), offsets))
    offsets = hstack(kinds).offsets
    columns = [pa.array(hstack(parts).values) for parts in (kinds, ids, starts, ends)]
    values = pa.StructArray.from_arrays(columns, fields=list(schema.PRETOKENIZED.type.value_type))
    return pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), values, type=schema.PRETOKENIZED.type)


def tokens_and_words(table: pa.Table, side: int) -> tuple[Tokens, WordSpans]:
    """Read one side of the column that `pretokenize_table` made.

    Args:
        table: with the column schema.PRETOKENIZED.
        side: SOURCE, TARGET, or SIMILARITY_SOURCE, which has no words.
    """
    column = table.column(schema.PRETOKENIZED.name).combine_chunks()
    rows = np.repeat(np.arange(len(column)), np.diff(list_offsets(column)))
    kinds, ids, starts, ends = (array.to_numpy() for array in column.flatten().flatten())

    def row_offsets(selected: np.ndarray) -> np.ndarray:
        return offsets_of(np.bincount(rows[selected], minlength=len(column)))

    is_token, is_word = kinds == side, kinds == side + 1
    tokens = Tokens(Ragged(ids[is_token], row_offsets(is_token)), starts[is_token], ends[is_token])
    words = WordSpans(starts[is_word].astype(np.int64), ends[is_word].astype(np.int64), row_offsets(is_word))
    return tokens, words


def _no_tokens(rows: int) -> Tokens:
    empty = np.zeros(0, np.int32)
    return Tokens(Ragged(empty, np.zeros(rows + 1, np.int64)), empty, empty)
