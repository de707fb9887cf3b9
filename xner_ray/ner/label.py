"""Labelling a shard: the teacher's entities as an Arrow column."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from xner_ray import schema
from xner_ray.encoder.ragged import offsets_of
from xner_ray.ner.encode import Words
from xner_ray.ner.found import Finder
from xner_ray.words import words as words_of


def label_table(tagger: Finder, table: pa.Table, language: str = "en") -> pa.Table:
    """Add `entities`, the tagger's findings in `source`.

    Args:
        table: schema.PAIR columns.
        language: of the source side.

    Returns:
        schema.LABELLED columns, rows in the same order.
    """
    texts = table.column("source").to_pylist()
    found = tagger.find(texts, Words.of([words_of(t, language) for t in texts]))
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
