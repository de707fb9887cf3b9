"""Gold in Parquet, as on the Hugging Face hub: words and tags, the tags as strings or as class numbers.

The names of the classes are in the metadata of the file, where `datasets` stores them (`Dataset.to_parquet`, and the
hub's own Parquet files).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from xner_ray.errors import UserError

_REMOVE = "correct the word or remove the row"
TOKENS, TAGS = ("tokens", "words"), ("ner_tags", "tags")


def read_rows(path: str | Path) -> list[tuple[list[str], list[str]]]:
    """Words and tags of each row.

    Raises:
        UserError: the file is not Parquet, lacks a column or the names of classes, or has a row of unequal lengths, a null, or a
            class without a name.
    """
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowInvalid) as e:
        raise UserError(f"cannot be read as Parquet: {e}", file=path, remedy="check the path") from e
    words, tags = (_column(table, names, path) for names in (TOKENS, TAGS))
    words_by_row, tags_by_row = table.column(words).to_pylist(), table.column(tags).to_pylist()
    names = None
    if pa.types.is_integer(table.schema.field(tags).type.value_type):
        names = _class_names(table.schema, tags, path)
    rows = []
    for number, (row, row_tags) in enumerate(zip(words_by_row, tags_by_row, strict=True), 1):
        for column, values in ((words, row), (tags, row_tags)):
            if values is None or None in values:
                what = "is null" if values is None else f"has a null at position {values.index(None) + 1}"
                raise UserError(f"row {number} {what}", file=path, key=column, remedy="fill the row or remove it")
        if len(row) != len(row_tags):
            raise UserError(
                f"row {number} has {len(row)} words and {len(row_tags)} tags",
                file=path,
                key=tags,
                remedy="give each word one tag",
            )
        if not all(isinstance(word, str) and word for word in row):
            raise UserError(f"row {number} has a word that is no text or empty", file=path, key=words, remedy=_REMOVE)
        rows.append((row, row_tags if names is None else _named(row_tags, names, number, tags, path)))
    return rows


def _named(classes: Sequence[int], names: Sequence[str], number: int, column: str, path: str | Path) -> list[str]:
    """The names of classes."""
    for i in classes:
        if i == -1:
            remedy = "use another split, such as validation"
            raise UserError(f"row {number} has class -1: its tags are hidden", file=path, key=column, remedy=remedy)
        if not 0 <= i < len(names):
            problem = f"row {number} has class {i}, but the file names {len(names)} classes"
            raise UserError(
                problem, file=path, key=column, remedy="save it again with all names, or give tags as text"
            )
    return [names[i] for i in classes]


def _column(table: pa.Table, names: tuple[str, ...], path: str | Path) -> str:
    for name in names:
        if name in table.column_names and _is_list(table.schema.field(name).type):
            return name
    raise UserError(
        f"has no column of lists named {' or '.join(names)}",
        file=path,
        remedy=f"it has {', '.join(table.column_names)}; rename one",
    )


def _is_list(kind: pa.DataType) -> bool:
    return pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)


def _class_names(schema: pa.Schema, column: str, path: str | Path) -> list[str]:
    metadata: Any = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
    feature = metadata.get("info", {}).get("features", {}).get(column, {})
    inner = feature[0] if isinstance(feature, list) else feature.get("feature", {})
    names = inner.get("names") if isinstance(inner, dict) else None
    if not names:
        remedy = "save it with `Dataset.to_parquet`, which keeps the names, or give tags as strings"
        raise UserError("has classes without names", file=path, key=column, remedy=remedy)
    return list(names)
