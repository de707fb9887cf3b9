"""Parallel text in Parquet, the format of translation datasets on the Hugging Face hub.

The two sides are fields of a struct `translation` that are named by language, or columns that are named by language, or
the columns `source` and `target`. A column `score` is read if present.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from xner_ray.corpora.readers.archive import open_file
from xner_ray.errors import UserError
from xner_ray.language_codes import select_variant
from xner_ray.text.parquet_file import ParquetReader, explain_parquet_errors, is_text, text_lengths

ROWS = 8192
CHUNK_BYTES = 64 << 20  # of the text of one chunk of rows


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
        UserError: the file does not exist, is not Parquet, lacks columns of the two languages, or is too large for its size.
    """
    with open_file(path, key) as stream, explain_parquet_errors(path, key, "check path and `format`"):
        reader = ParquetReader(stream, path, key)
        columns, sides = _columns(reader.schema, source, target, path, key)
        for batch in reader.batches(columns):
            texts = [_side(batch, side) for side in sides]
            for side, text in zip(sides, texts, strict=True):
                if not is_text(text.type):
                    name = ".".join(x for x in side if x)
                    problem, remedy = f"column {name} holds {text.type}, not text", "convert it to strings"
                    raise UserError(problem, file=path, key=key, remedy=remedy)
            score = batch.column("score") if "score" in columns else None
            lengths = text_lengths(texts[0]) + text_lengths(texts[1])
            for start, end in _chunks(lengths):
                reader.count_text(int(np.sum(lengths[start:end])))
                chunk = [_bytes(text.slice(start, end - start)) for text in texts]
                scores = None if score is None else _bytes(pc.cast(score.slice(start, end - start), pa.string()))
                yield chunk[0], chunk[1], scores


def _chunks(lengths: np.ndarray) -> Iterator[tuple[int, int]]:
    """Ranges of at most ROWS rows and about CHUNK_BYTES bytes; a longer row is alone."""
    start, ends = 0, np.cumsum(lengths)
    while start < len(lengths):
        limit = (ends[start - 1] if start else 0) + CHUNK_BYTES
        end = min(start + ROWS, max(start + 1, int(np.searchsorted(ends, limit, side="right"))))
        yield start, end
        start = end


def _columns(
    schema: pa.Schema, source: str, target: str, path: str, key: str
) -> tuple[list[str], list[tuple[str, str | None]]]:
    """Columns to read, and for each side its column and the field of a struct column."""
    score = ["score"] if "score" in schema.names else []
    if "translation" in schema.names and pa.types.is_struct(schema.field("translation").type):
        sides = _sides_by_language([f.name for f in schema.field("translation").type], source, target)
        if sides:
            return ["translation", *score], [("translation", name) for name in sides]
    for names in (_sides_by_language(schema.names, source, target), ["source", "target"]):
        if names and set(names) <= set(schema.names):
            return [*names, *score], [(name, None) for name in names]
    raise UserError(
        f"has no pairs of {source} and {target}; its columns are {', '.join(schema.names)}",
        file=path,
        key=key,
        remedy=f"give a struct `translation` with {source} and {target}, or columns `source` and `target`",
    )


def _sides_by_language(names: list[str], source: str, target: str) -> list[str] | None:
    """The names of both sides, if each language has exactly one."""
    sides = [select_variant(language, names) for language in (source, target)]
    return [side[0] for side in sides] if all(len(side) == 1 for side in sides) else None


def _side(batch: pa.RecordBatch, side: tuple[str, str | None]) -> Any:
    column, field = side
    return batch.column(column) if field is None else pc.struct_field(batch.column(column), field)


def _bytes(texts: Any) -> Any:
    """As large_binary. Bytes that are not UTF-8 stay as they are, and are quarantined later."""
    if pa.types.is_dictionary(texts.type):
        texts = texts.dictionary_decode()
    if pa.types.is_string(texts.type):
        texts = texts.cast(pa.large_string())
    return texts.cast(pa.large_binary())
