"""Splitting large blocks of bytes into Arrow columns without a Python loop over rows.

A block of several megabytes becomes one `large_binary` array whose offsets are the positions of its separators. Nothing
is copied, but each value keeps the separator that ends it, which the filters strip. Only LF ends a line, because U+2028
or a single CR within a sentence must not misalign the two sides.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from xner_ray.corpora.readers.archive import Stream
from xner_ray.errors import UserError
from xner_ray.text.arrow_kernels import split_at

BLOCK = 4 << 20
MAX_LINE = 16 << 20  # bytes; a longer line is not a sentence, and would have to fit in memory
_NO_TEXT = (
    (re.compile(rb"7z\xbc\xaf\x27\x1c"), "a 7z archive"),
    (re.compile(rb"Rar!\x1a\x07"), "a RAR archive"),
    (re.compile(rb"PK\x03\x04"), "a zip within another file"),
    (re.compile(rb"[^\0].{256}ustar", re.DOTALL), "a tar archive"),
    (re.compile(rb"LZIP"), "an lzip file"),
    (re.compile(rb"\x1f[\x8b\x9d\xa0]"), "a file that is compressed twice, or with `compress`"),
)


def text_blocks(stream: Stream) -> Iterator[bytes]:
    """Blocks of complete lines, about `BLOCK` bytes each. Only the last line of the file may lack its LF.

    Raises:
        UserError: the file is UTF-16, or a line is longer than `MAX_LINE` bytes.
    """
    rest, lines, first = b"", 0, True
    while data := stream.read(BLOCK):
        if first:
            data, first = strip_bom(data, stream.name), False
        data = rest + data
        cut = data.rfind(b"\n") + 1
        rest = data[cut:]
        if cut:
            yield data[:cut]
        if len(rest) > MAX_LINE:
            lines += data.count(b"\n", 0, cut)
            raise too_long_line(stream.name, lines + 1)
        if cut:
            lines += data.count(b"\n", 0, cut)
    if rest:
        yield rest


def too_long_line(name: str, line: int | None) -> UserError:
    """The error for a line or segment above `MAX_LINE`."""
    what = f"a line or segment of more than {MAX_LINE >> 20} MiB"
    return UserError(what, file=name, line=line, remedy="check that the file is text, and that `format` is correct")


def strip_bom(data: bytes, name: str) -> bytes:
    """The first block without its UTF-8 byte order mark.

    Raises:
        UserError: the file is UTF-16, or an archive that is not supported.
    """
    for pattern, what in _NO_TEXT:
        if pattern.match(data):
            raise UserError(f"is {what}", file=name, remedy="unpack it; text may be plain, gz, bz2, xz, zst or zip")
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise UserError("is UTF-16", file=name, remedy="convert it: iconv -f UTF-16 -t UTF-8")
    return data.removeprefix(b"\xef\xbb\xbf")


def split_lines(block: bytes) -> pa.LargeBinaryArray:
    """The lines of a block, each with its LF; large_binary."""
    return _slices(block, np.flatnonzero(np.frombuffer(block, np.uint8) == 10) + 1)


def split_fields(block: bytes) -> tuple[pa.LargeBinaryArray, np.ndarray, np.ndarray]:
    """The tab-separated fields of a block.

    Returns:
        fields: large_binary, all fields of all lines in order, each with the tab or LF that ends it.
        first: int64 [lines], index of the first field of each line.
        count: int64 [lines], number of fields of each line.
    """
    data = np.frombuffer(block, np.uint8)
    separators = np.flatnonzero((data == 9) | (data == 10))
    last = np.flatnonzero(data[separators] == 10)
    if block[-1:] != b"\n":
        last = np.append(last, len(separators))
    first = np.concatenate([[0], last[:-1] + 1])
    fields = _slices(block, separators + 1, at_least=int(last[-1]) + 1)
    return fields, first, last - first + 1


def _slices(block: bytes, ends: np.ndarray, at_least: int = 0) -> pa.LargeBinaryArray:
    # A block that ends in a tab has one more field, an empty one: `at_least` keeps it.
    if len(ends) < at_least or (not at_least and block[-1:] != b"\n"):
        ends = np.append(ends, len(block))
    return split_at(block, ends)


def field(fields: pa.LargeBinaryArray, first: np.ndarray, count: np.ndarray, column: int) -> pa.LargeBinaryArray:
    """One column of `split_fields`, large_binary [lines]; null where the line has too few fields."""
    index, has = first + column, count > column
    if has.all():
        mask = np.zeros(len(fields), bool)
        mask[index] = True
        return fields.filter(pa.array(mask))  # ten times as fast as take
    return fields.take(pa.array(index, mask=~has))


def align_lines(sides: list[Iterator[pa.LargeBinaryArray]], names: list[str]) -> Iterator[list[pa.LargeBinaryArray]]:
    """The lines of several files, side by side.

    Args:
        sides: blocks of lines of each file.
        names: the files, for errors.

    Yields:
        One array per file; all have the same length.

    Raises:
        UserError: the files differ in their number of lines, which shows only at the end of the longest one.
    """
    parts: list[pa.LargeBinaryArray | None] = [None] * len(sides)
    done = 0
    while True:
        parts = [next(side, None) if part is None else part for part, side in zip(parts, sides, strict=True)]
        if all(part is None for part in parts):
            return
        if any(part is None for part in parts):
            break
        run = min(len(part) for part in parts if part is not None)
        yield [part[:run] for part in parts if part is not None]
        parts = [part[run:] if part is not None and len(part) > run else None for part in parts]
        done += run
    counts = [
        done + (len(part) if part is not None else 0) + sum(map(len, side))
        for part, side in zip(parts, sides, strict=True)
    ]
    line_counts = ", ".join(f"{name} has {count}" for name, count in zip(names, counts, strict=True))
    raise UserError(
        f"the sides differ in their number of lines: {line_counts}",
        file=names[int(np.argmin(counts))],
        line=min(counts) + 1,
        remedy="fetch the corpus again; all pairs after the first missing line may be wrong",
    )
