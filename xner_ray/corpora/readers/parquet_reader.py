"""Parallel text in Parquet, the format of translation datasets on the Hugging Face hub.

The two sides are fields of a struct `translation` that are named by language, or columns that are named by language, or
the columns `source` and `target`. A column `score` is read if present.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from xner_ray.errors import UserError

ROWS = 8192


def read_parquet(path: str, source: str, target: str, key: str) -> Iterator[tuple[Any, Any, Any]]:
    """Read pairs in the order of the rows.

    Args:
        path: file or fsspec URL.
        source: source language code.
        target: target language code.
        key: config key of the path, for errors.

    Yields:
        source, target and score, large_binary [rows] each; score is None where the file has none.


    Raises:
        UserError: the file does not exist, is not Parquet, or lacks columns of the two languages.
    """
    import fsspec

    try:
        with fsspec.open(path, "rb") as stream, pq.ParquetFile(stream) as file:
            columns, sides = _columns(file.schema_arrow, source, target, path, key)
            for batch in file.iter_batches(ROWS, columns=columns):
                texts = [_bytes(_side(batch, side)) for side in sides]
                score = _bytes(pc.cast(batch.column("score"), pa.string())) if "score" in columns else None
                yield texts[0], texts[1], score
    except (OSError, pa.ArrowInvalid) as e:
        raise UserError(f"cannot be read as Parquet: {e}", file=path, key=key, remedy="check path and `format`") from e


def _columns(
    schema: pa.Schema, source: str, target: str, path: str, key: str
) -> tuple[list[str], list[tuple[str, str | None]]]:
    """Columns to read, and for each side its column and the field of a struct column."""
    score = ["score"] if "score" in schema.names else []
    if "translation" in schema.names and pa.types.is_struct(schema.field("translation").type):
        fields = {f.name for f in schema.field("translation").type}
        if {source, target} <= fields:
            return ["translation", *score], [("translation", source), ("translation", target)]
    for names in ((source, target), ("source", "target")):
        if set(names) <= set(schema.names):
            return [*names, *score], [(name, None) for name in names]
    raise UserError(
        f"has no pairs of {source} and {target}; its columns are {', '.join(schema.names)}",
        file=path,
        key=key,
        remedy=f"give a struct `translation` with {source} and {target}, or columns `source` and `target`",
    )


def _side(batch: pa.RecordBatch, side: tuple[str, str | None]) -> Any:
    column, field = side
    return batch.column(column) if field is None else pc.struct_field(batch.column(column), field)


def _bytes(texts: Any) -> Any:
    return texts.cast(pa.large_string()).cast(pa.large_binary())
