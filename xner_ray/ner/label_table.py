"""Labels a shard: adds the teacher's entities as an Arrow column."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from xner_ray import schema
from xner_ray.ner.base_tagger import BaseTagger
from xner_ray.ner.entity_spans import EntitySpans
from xner_ray.ner.pretokenize import SOURCE, tokens_and_words
from xner_ray.ner.word_spans import WordSpans


def label_table(tagger: BaseTagger, table: pa.Table, language: str) -> pa.Table:
    """Add the column `entities`, the tagger's entities of the column `source`.

    Args:
        tagger: of the source language.
        table: with the columns of schema.PAIR. With schema.PRETOKENIZED the source is not tokenized again.
        language: of the source side, ISO 639-1.

    Returns:
        A table with the columns of schema.LABELED, rows in the same order.
    """
    texts = table.column("source").to_pylist()
    if schema.PRETOKENIZED.name in table.column_names:
        tokens, words = tokens_and_words(table, SOURCE)
        entities = tagger.predict_spans(texts, words, tokens)
    else:
        entities = tagger.predict_spans(texts, WordSpans.from_texts(texts, language))
    return table.append_column(schema.ENTITIES, _to_arrow(entities, len(texts)))


def _to_arrow(entities: EntitySpans, num_texts: int) -> pa.ListArray:
    """schema.ENTITIES, one list for each text."""
    values = pa.StructArray.from_arrays(
        [
            pa.array(entities.starts, pa.int32()),
            pa.array(entities.ends, pa.int32()),
            pa.array(entities.types.astype(str), pa.string()),
            pa.array(entities.scores, pa.float32()),
        ],
        fields=list(schema.ENTITY),
    )
    offsets = pa.array(entities.offsets(num_texts).astype(np.int32))
    return pa.ListArray.from_arrays(offsets, values, type=schema.ENTITIES.type)
