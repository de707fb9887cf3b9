"""Parquet with Hugging Face features in its metadata, so that `load_dataset` returns `ClassLabel` tags.

pyarrow alone writes it; the `datasets` package is needed only to read it. The features use `Sequence` and lists of one dict, the
older spelling, which `datasets` 2 to 5 all read.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from xner_ray import schema

_DTYPES = {pa.string(): "string", pa.int32(): "int32", pa.int64(): "int64", pa.float32(): "float32"}
_COLUMNS = [
    "corpus",
    "domain",
    "language",
    "pair_id",
    "source",
    "target",
    "corpus_score",
    "entities",
    "projections",
    "spans",
]


class ParquetWriter:
    """Writes the rows of one split.

    Args:
        path: the file.
        labels: names of the classes of `ner_tags`, in the order of their ids.
    """

    def __init__(self, path: Path, labels: Sequence[str]):
        self.labels = pa.array(labels, pa.string())
        fields = [
            pa.field("id", pa.string()),
            schema.EXPORTED.field("tokens"),
            pa.field("ner_tags", pa.list_(pa.int64())),
        ]
        fields += [schema.EXPORTED.field(name) for name in _COLUMNS]
        plain = pa.schema([pa.field(f.name, _nullable(f.type)) for f in fields])
        metadata = json.dumps({"info": {"features": features(plain, labels)}})
        self.schema = plain.with_metadata({"huggingface": metadata})
        self.writer = pq.ParquetWriter(path, self.schema, compression="zstd", compression_level=3)

    def write(self, rows: pa.Table) -> None:
        """Write rows of schema.EXPORTED."""
        ids = pc.binary_join_element_wise(
            rows.column("language"), rows.column("corpus"), rows.column("pair_id").cast(pa.string()), "-"
        )
        tags = rows.column("ner_tags").combine_chunks()
        classes = pc.index_in(tags.flatten(), value_set=self.labels).cast(pa.int64())
        if classes.null_count:
            unknown = pc.unique(tags.flatten().filter(pc.is_null(classes))).to_pylist()
            raise RuntimeError(f"the dataset has no labels for the tags {unknown}")
        columns = [ids, rows.column("tokens"), with_values(tags, classes)]
        table = pa.table([*columns, *(rows.column(name) for name in _COLUMNS)], names=self.schema.names)
        self.writer.write_table(table.cast(self.schema))

    def close(self) -> None:
        self.writer.close()


def with_values(lists: pa.ListArray, values: pa.Array) -> pa.ListArray:
    """Lists of the same lengths with other values.

    Args:
        lists: the lists, without nulls.
        values: as many values as all lists have together.
    """
    ends = np.cumsum(pc.list_value_length(lists).to_numpy())
    return pa.ListArray.from_arrays(pa.array(np.concatenate([[0], ends]).astype(np.int32)), values)


def _nullable(kind: pa.DataType) -> pa.DataType:
    """Return the type with all its parts nullable, as `datasets` writes it."""
    if pa.types.is_list(kind):
        return pa.list_(_nullable(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([pa.field(f.name, _nullable(f.type)) for f in kind])
    return kind


def features(columns: pa.Schema, labels: Sequence[str]) -> dict[str, Any]:
    """Hugging Face features of an Arrow schema, with `ner_tags` as classes."""
    by_name = {field.name: _feature(field.type) for field in columns}
    by_name["ner_tags"] = {"feature": {"names": list(labels), "_type": "ClassLabel"}, "_type": "Sequence"}
    return by_name


def _feature(kind: pa.DataType) -> Any:
    if pa.types.is_list(kind):
        inner = _feature(kind.value_type)
        return [inner] if pa.types.is_struct(kind.value_type) else {"feature": inner, "_type": "Sequence"}
    if pa.types.is_struct(kind):
        return {field.name: _feature(field.type) for field in kind}
    return {"dtype": _DTYPES[kind], "_type": "Value"}
