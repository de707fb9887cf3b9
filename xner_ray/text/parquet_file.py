"""Parquet files of a user, read as a stream with bounds.

A dictionary page lets 835 bytes stand for 16 GiB of text. So text columns are read as dictionaries, whose size is that of the
file's pages. The size of the plain text is known before it is made, and is compared with the size of the file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from xner_ray.errors import UserError

MAX_ROW_GROUP_BYTES = 2 << 30  # without compression
BATCH_ROWS = 32_768
BOMB_RATIO = 200  # text may have so many times the bytes of its file; real text stays below 30
BOMB_BYTES = 64 << 20  # below, every ratio is allowed
MAX_ROWS_PER_BYTE, MIN_MAX_ROWS = 16, 1_000_000
_BUFFER_BYTES = 1 << 20
_REWRITE = "write it again with smaller row groups, e.g. row_group_size=100000 of pyarrow"


class ParquetReader:
    """One open file.

    Args:
        stream: seekable.
        path: for errors.
        key: config key of the path, for errors.

    Raises:
        UserError: the file has more rows than its size allows.
    """

    def __init__(self, stream: BinaryIO, path: str, key: str | None = None):
        self.path, self.key, self.stream = path, key, stream
        self.size = stream.seek(0, 2)
        stream.seek(0)
        self.metadata = pq.read_metadata(stream)
        self.schema = self.metadata.schema.to_arrow_schema()
        self.text_bytes = 0
        if self.metadata.num_rows > max(MIN_MAX_ROWS, MAX_ROWS_PER_BYTE * self.size):
            raise self._bomb(f"has {self.metadata.num_rows:,} rows in {self.size:,} bytes")

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Read columns. Those of text are dictionary arrays.

        Raises:
            UserError: a row group is too large.
        """
        for group in range(self.metadata.num_row_groups):
            # Not the sum over columns: Arrow aborts the process on damaged metadata of a column.
            size = self.metadata.row_group(group).total_byte_size
            if size > MAX_ROW_GROUP_BYTES:
                problem = f"row group {group} has {size:,} bytes, more than {MAX_ROW_GROUP_BYTES:,}"
                raise UserError(problem, file=self.path, key=self.key, remedy=_REWRITE)
        text = self._text_columns(columns)
        self.stream.seek(0)
        file = pq.ParquetFile(self.stream, read_dictionary=text, buffer_size=_BUFFER_BYTES)
        for group in range(
            self.metadata.num_row_groups
        ):  # Arrow cannot join dictionaries in structs of several row groups
            yield from file.iter_batches(BATCH_ROWS, row_groups=[group], columns=list(columns))

    def _text_columns(self, columns: Sequence[str]) -> list[str]:
        """Paths of the leaf columns of text below columns."""
        leaves = (self.metadata.schema.column(i) for i in range(self.metadata.num_columns))
        text = [leaf.path for leaf in leaves if leaf.physical_type == "BYTE_ARRAY"]
        return [path for path in text if any(path == name or path.startswith(f"{name}.") for name in columns)]

    def count_text(self, num_bytes: int) -> None:
        """Count text that is about to be made.

        Raises:
            UserError: it is more than a file of this size holds.
        """
        self.text_bytes += num_bytes
        if self.text_bytes > max(BOMB_BYTES, BOMB_RATIO * self.size):
            raise self._bomb(f"unpacks to more than {BOMB_RATIO} times its size: this is an archive bomb, not text")

    def _bomb(self, problem: str) -> UserError:
        return UserError(problem, file=self.path, key=self.key, remedy="remove the file, or write it again as text")


def text_lengths(texts: Any) -> np.ndarray:
    """Bytes of each text of a dictionary, string or binary array; 0 for null: int64 [texts]."""
    if pa.types.is_dictionary(texts.type):
        lengths = pc.take(pc.binary_length(texts.dictionary), texts.indices)
    else:
        lengths = pc.binary_length(texts)
    return pc.fill_null(pc.cast(lengths, pa.int64()), 0).to_numpy(zero_copy_only=False)


def is_text(kind: pa.DataType) -> bool:
    """Whether an Arrow type is text, or bytes that may be text."""
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    tests: tuple[Callable[[pa.DataType], bool], ...] = (
        pa.types.is_string,
        pa.types.is_large_string,
        pa.types.is_binary,
        pa.types.is_large_binary,
    )
    return any(test(kind) for test in tests)


@contextmanager
def explain_parquet_errors(path: str, key: str | None, remedy: str) -> Iterator[None]:
    """Turn errors of Arrow, of names that are not UTF-8, and of the file system into a UserError.

    Raises:
        UserError: the block raised such an error.
    """
    try:
        yield
    except (OSError, pa.ArrowException, UnicodeDecodeError) as e:
        problem = f"cannot be read as Parquet: {(str(e).splitlines() or [type(e).__name__])[0]}"
        raise UserError(problem, file=path, key=key, remedy=remedy) from e
