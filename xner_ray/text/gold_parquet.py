"""Gold from the world of Hugging Face: Parquet with words and tags, tags as strings or as classes with names.

The names stand in the file's metadata, where `datasets` puts them (`Dataset.to_parquet`, and the hub's own Parquet).
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
        UserError: not Parquet, columns that are missing, classes without names, rows of unequal length.
    """
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowInvalid) as e:
        raise UserError(f"cannot be read as Parquet: {e}", file=path, remedy="check the path") from e
    words, tags = (_column(table, names, path) for names in (TOKENS, TAGS))
    texts, marks = table.column(words).to_pylist(), table.column(tags).to_pylist()
    if pa.types.is_integer(table.schema.field(tags).type.value_type):
        names = _class_names(table.schema, tags, path)
        try:
            marks = [[names[i] for i in row] for row in marks]
        except IndexError:
            raise UserError(f"has a class beyond the {len(names)} that it names", file=path, key=tags) from None
    for i, (text, mark) in enumerate(zip(texts, marks, strict=True), 1):
        if len(text) != len(mark):
            raise UserError(f"row {i} has {len(text)} words and {len(mark)} tags", file=path, key=tags)
    return list(zip(texts, marks, strict=True))


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
    told: Any = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
    feature = told.get("info", {}).get("features", {}).get(column, {})
    inner = feature[0] if isinstance(feature, list) else feature.get("feature", {})
    names = inner.get("names") if isinstance(inner, dict) else None
    if not names:
        remedy = "save it with `Dataset.to_parquet`, which keeps the names, or give tags as strings"
        raise UserError("has classes without names", file=path, key=column, remedy=remedy)
    return list(names)
