"""Parallel text as Parquet: what translation datasets of Hugging Face are.

The two sides are fields of a struct `translation`, named by language, or columns `source` and `target`, or columns named by
language; `score` is taken where there is one.
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
    """Pairs in the order of the file's rows: source, target and score (None where there is none), large_binary each.

    Raises:
        UserError: no such file, not Parquet, or no columns of the two languages.
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
    """Columns to read, and where each side is: (column, field of its struct or None)."""
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


def _side(batch: pa.RecordBatch, where: tuple[str, str | None]) -> Any:
    column, field = where
    return batch.column(column) if field is None else pc.struct_field(batch.column(column), field)


def _bytes(texts: Any) -> Any:
    return texts.cast(pa.large_string()).cast(pa.large_binary())
