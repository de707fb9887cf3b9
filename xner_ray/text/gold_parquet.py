"""Gold in Parquet, as on the Hugging Face hub: words and tags, the tags as strings or as class numbers.

The names of the classes are in the metadata of the file, where `datasets` stores them (`Dataset.to_parquet`, and the
hub's own Parquet files).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from xner_ray.errors import UserError

TOKENS, TAGS = ("tokens", "words"), ("ner_tags", "tags")


def read_rows(path: str | Path) -> list[tuple[list[str], list[str]]]:
    """Words and tags of each row.

    Raises:
        UserError: the file is not Parquet, lacks a column or the names of classes, or has a row of unequal lengths.
    """
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowInvalid) as e:
        raise UserError(f"cannot be read as Parquet: {e}", file=path, remedy="check the path") from e
    words, tags = (_column(table, names, path) for names in (TOKENS, TAGS))
    words_by_row, tags_by_row = table.column(words).to_pylist(), table.column(tags).to_pylist()
    if pa.types.is_integer(table.schema.field(tags).type.value_type):
        names = _class_names(table.schema, tags, path)
        try:
            tags_by_row = [[names[i] for i in row] for row in tags_by_row]
        except IndexError:
            raise UserError(f"has a class beyond the {len(names)} that it names", file=path, key=tags) from None
    for i, (row, row_tags) in enumerate(zip(words_by_row, tags_by_row, strict=True), 1):
        if len(row) != len(row_tags):
            raise UserError(f"row {i} has {len(row)} words and {len(row_tags)} tags", file=path, key=tags)
    return list(zip(words_by_row, tags_by_row, strict=True))


def _column(table: pa.Table, names: tuple[str, ...], path: str | Path) -> str:
    for name in names:
        if name in table.column_names and pa.types.is_list(table.schema.field(name).type):
            return name
    raise UserError(
        f"has no column of lists named {' or '.join(names)}",
        file=path,
        remedy=f"it has {', '.join(table.column_names)}; rename one",
    )


def _class_names(schema: pa.Schema, column: str, path: str | Path) -> list[str]:
    metadata: Any = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
    feature = metadata.get("info", {}).get("features", {}).get(column, {})
    inner = feature[0] if isinstance(feature, list) else feature.get("feature", {})
    names = inner.get("names") if isinstance(inner, dict) else None
    if not names:
        remedy = "save it with `Dataset.to_parquet`, which keeps the names, or give tags as strings"
        raise UserError("has classes without names", file=path, key=column, remedy=remedy)
    return list(names)
