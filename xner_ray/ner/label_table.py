"""Labeling a shard: the teacher's entities as an Arrow column."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from xner_ray import schema
from xner_ray.encoders.ragged import offsets_of
from xner_ray.ner.base_tagger import BaseTagger
from xner_ray.ner.pretokenize import SOURCE, pieces_and_words
from xner_ray.ner.token_labels import words_of


def label_table(tagger: BaseTagger, table: pa.Table, language: str = "en") -> pa.Table:
    """Add `entities`, the tagger's findings in `source`.

    Args:
        table: schema.PAIR columns; with schema.CUT the source is not tokenized again.
        language: of the source side.

    Returns:
        schema.LABELED columns, rows in the same order.
    """
    texts = table.column("source").to_pylist()
    if schema.CUT.name in table.column_names:
        tokens, words = pieces_and_words(table, SOURCE)
        found = tagger.find(texts, words, tokens)
    else:
        found = tagger.find(texts, words_of(texts, language))
    return table.append_column(schema.ENTITIES, entity_lists(found, len(texts)))


def entity_lists(found: dict[str, np.ndarray], rows: int) -> pa.ListArray:
    """Flat entity arrays (see `ner.decode.entities`), sorted by row, as list<entity>."""
    offsets = offsets_of(np.bincount(found["row"], minlength=rows)) if rows else np.zeros(1, np.int64)
    values = pa.StructArray.from_arrays(
        [
            pa.array(found["start"], pa.int32()),
            pa.array(found["end"], pa.int32()),
            pa.array(found["type"].astype(str), pa.string()),
            pa.array(found["score"], pa.float32()),
        ],
        fields=list(schema.ENTITY),
    )
    return pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), values, type=schema.ENTITIES.type)
