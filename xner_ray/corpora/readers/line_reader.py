"""Splitting big blocks of bytes into Arrow columns without touching a row in Python.

A block of some megabytes becomes one `large_binary` array whose offsets are the positions of its separators: nothing
is copied, at the price that each value keeps the separator that ends it (cleaning strips white space anyway). Only LF
ends a line: U+2028 or a lone CR within a sentence must not shift one side against the other.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from xner_ray.corpora.readers.archive import Stream
from xner_ray.errors import UserError
from xner_ray.text.arrow_kernels import split_at

BLOCK = 4 << 20
MAX_LINE = 16 << 20  # bytes; a longer line is no sentence but the wrong file, and would have to fit in memory


def text_blocks(stream: Stream) -> Iterator[bytes]:
    """Blocks of whole lines, about `BLOCK` bytes each; only the last line of all may lack its LF.

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
    what = f"a line or segment of more than {MAX_LINE >> 20} MiB"
    return UserError(what, file=name, line=line, remedy="is this text, and is `format` right?")


def strip_bom(data: bytes, name: str) -> bytes:
    """The first block without its UTF-8 byte order mark.

    Raises:
        UserError: the mark is that of UTF-16.
    """
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise UserError("is UTF-16", file=name, remedy="convert it: iconv -f UTF-16 -t UTF-8")
    return data.removeprefix(b"\xef\xbb\xbf")


def split_lines(block: bytes) -> pa.LargeBinaryArray:
    """The lines of a block, each with its LF."""
    return _slices(block, np.flatnonzero(np.frombuffer(block, np.uint8) == 10) + 1)


def split_fields(block: bytes) -> tuple[pa.LargeBinaryArray, np.ndarray, np.ndarray]:
    """The tab-separated fields of a block.

    Returns:
        fields: every field of every line in order, each with the tab or LF that ends it.
        first: int64, per line the index of its first field.
        count: int64, per line how many fields it has.
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
    """One column of `split_fields`; null where a line has too few."""
    index, has = first + column, count > column
    if has.all():
        mask = np.zeros(len(fields), bool)
        mask[index] = True
        return fields.filter(pa.array(mask))  # ten times as fast as take
    return fields.take(pa.array(index, mask=~has))


def aligned(sides: list[Iterator[pa.LargeBinaryArray]], names: list[str]) -> Iterator[list[pa.LargeBinaryArray]]:
    """Runs of lines of several files, side by side.

    Raises:
        UserError: the files differ in their number of lines; only the end of the longest one shows by how much.
    """
    held: list[pa.LargeBinaryArray | None] = [None] * len(sides)
    done = 0
    while True:
        held = [next(it, None) if part is None else part for part, it in zip(held, sides, strict=True)]
        if all(part is None for part in held):
            return
        if any(part is None for part in held):
            break
        run = min(len(part) for part in held if part is not None)
        yield [part[:run] for part in held if part is not None]
        held = [part[run:] if part is not None and len(part) > run else None for part in held]
        done += run
    counts = [
        done + (len(part) if part is not None else 0) + sum(map(len, it)) for part, it in zip(held, sides, strict=True)
    ]
    told = ", ".join(f"{name} has {count}" for name, count in zip(names, counts, strict=True))
    raise UserError(
        f"the sides differ in their number of lines: {told}",
        file=names[int(np.argmin(counts))],
        line=min(counts) + 1,
        remedy="fetch the corpus again: from the first missing line on, no pair can be trusted",
    )
