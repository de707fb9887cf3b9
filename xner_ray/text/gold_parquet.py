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

from xner_ray.errors import UserError
from xner_ray.text.parquet_file import ParquetReader, explain_parquet_errors, is_text, text_lengths

_REMOVE = "correct the word or remove the row"
TOKENS, TAGS = ("tokens", "words"), ("ner_tags", "tags")


def read_rows(path: str | Path) -> list[tuple[list[str], list[str]]]:
    """Words and tags of each row.

    Raises:
        UserError: the file is not Parquet, lacks a column or the names of classes, or has a row of unequal lengths, a null, or a
            class without a name.
    """
    rows: list[tuple[list[str], list[str]]] = []
    with explain_parquet_errors(str(path), None, "check the path"), Path(path).open("rb") as stream:
        reader = ParquetReader(stream, str(path))
        words, tags = (_column(reader.schema, names, path) for names in (TOKENS, TAGS))
        names = None
        if pa.types.is_integer(reader.schema.field(tags).type.value_type):
            names = _class_names(reader.schema, tags, path)
        for batch in reader.batches([words, tags]):
            columns = [batch.column(words), batch.column(tags)]
            for i, name in enumerate([words] if names is not None else [words, tags]):
                columns[i] = _text_lists(reader, columns[i], name, path)
            for row, row_tags in zip(*(column.to_pylist() for column in columns), strict=True):
                number = len(rows) + 1
                _check_row(row, row_tags, number, (words, tags), path)
                rows.append((row, row_tags if names is None else _named(row_tags, names, number, tags, path)))
    return rows


def _text_lists(reader: ParquetReader, lists: Any, name: str, path: str | Path) -> Any:
    """Lists of plain text of lists of dictionary codes."""
    values = lists.flatten()
    if pa.types.is_null(values.type):  # all lists are empty, or hold nulls
        return lists
    if not is_text(values.type):
        problem = f"holds lists of {values.type}, not of text"
        raise UserError(problem, file=path, key=name, remedy="convert it to strings")
    reader.count_text(int(text_lengths(values).sum()))
    kind = values.type.value_type if pa.types.is_dictionary(values.type) else values.type
    return lists.cast(pa.list_(kind))


def _check_row(
    row: list[Any] | None, row_tags: list[Any] | None, number: int, columns: tuple[str, str], path: str | Path
) -> None:
    """Raise for a null, for unequal lengths, and for a word that is no text or empty."""
    words, tags = columns
    for column, values in ((words, row), (tags, row_tags)):
        if values is None or None in values:
            what = "is null" if values is None else f"has a null at position {values.index(None) + 1}"
            raise UserError(f"row {number} {what}", file=path, key=column, remedy="fill the row or remove it")
    if row is not None and row_tags is not None and len(row) != len(row_tags):
        problem = f"row {number} has {len(row)} words and {len(row_tags)} tags"
        raise UserError(problem, file=path, key=tags, remedy="give each word one tag")
    if not all(isinstance(word, str) and word for word in row or []):
        raise UserError(f"row {number} has a word that is no text or empty", file=path, key=words, remedy=_REMOVE)


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


def _column(schema: pa.Schema, names: tuple[str, ...], path: str | Path) -> str:
    for name in names:
        if name in schema.names and _is_list(schema.field(name).type):
            return name
    raise UserError(
        f"has no column of lists named {' or '.join(names)}",
        file=path,
        remedy=f"it has {', '.join(schema.names)}; rename one",
    )


def _is_list(kind: pa.DataType) -> bool:
    return pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)


def _class_names(schema: pa.Schema, column: str, path: str | Path) -> list[str]:
    try:
        metadata: Any = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        feature = metadata["info"]["features"][column]
        names = (feature[0] if isinstance(feature, list) else feature["feature"])["names"]
    except (ValueError, KeyError, IndexError, TypeError, RecursionError):
        names = None
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        remedy = "save it with `Dataset.to_parquet`, which keeps the names, or give tags as strings"
        raise UserError("has classes without names", file=path, key=column, remedy=remedy)
    return names
