"""Validation of UTF-8 in binary columns, for all rows at once.

Arrow's cast reports only that some value is invalid, and Python's decoder needs a call per row. Nearly all chunks are
valid, which the cast finds at gigabytes per second. The others are checked here byte by byte with NumPy, at about 50
MB/s.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from xner_ray.text.arrow_kernels import string_bytes


def rows_of(positions: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Return the rows that contain byte positions.

    Args:
        positions: int64, positions in the bytes of a column.
        offsets: int64 [rows + 1], see `string_bytes`.

    Returns:
        bool [rows].
    """
    mask = np.zeros(len(offsets) - 1, bool)
    mask[np.searchsorted(offsets, positions, side="right") - 1] = True
    return mask


def invalid_rows(column: pa.LargeBinaryArray) -> np.ndarray:
    """bool [rows]: the row is not UTF-8 by table 3-7 of the Unicode standard. Null is valid."""
    try:
        column.cast(pa.large_string())
    except pa.ArrowInvalid:
        return _invalid_rows(column)
    return np.zeros(len(column), bool)


def _invalid_rows(column: pa.LargeBinaryArray) -> np.ndarray:
    data, offsets = string_bytes(column)
    n = len(data)
    # Number of bytes after a lead byte; 0 for ASCII, for continuation bytes and for invalid bytes.
    follow = (data >= 0xC2).astype(np.int8) + (data >= 0xE0) + (data >= 0xF0)
    follow[data > 0xF4] = 0
    cut = _cut_rows(follow, offsets)
    continuation = (data & 0xC0) == 0x80
    bad = (data > 0xF4) | (data == 0xC0) | (data == 0xC1)
    expected = np.zeros(n + 3, bool)
    for k in (1, 2, 3):
        expected[k : n + k] |= follow >= k
    bad |= continuation & ~expected[:n]
    after = np.append(data[1:], 0)[:n]
    # The first continuation byte after E0, ED, F0 and F4 has a narrower range: no overlong forms, no surrogates, at most 10FFFF.
    for lead, low, high in ((0xE0, 0xA0, 0xBF), (0xED, 0x80, 0x9F), (0xF0, 0x90, 0xBF), (0xF4, 0x80, 0x8F)):
        bad |= (data == lead) & ((after < low) | (after > high))
    for k in (1, 2, 3):
        following = np.append(continuation[k:], np.zeros(min(k, n), bool))
        bad |= (follow >= k) & ~following
    mask = rows_of(np.flatnonzero(bad), offsets) if n else np.zeros(len(column), bool)
    return mask | cut


def _cut_rows(follow: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Rows that end within a character. Their lead bytes are cleared in `follow`, so that the next row does not complete them."""
    starts, ends = offsets[:-1], offsets[1:]
    cut = np.zeros(len(starts), bool)
    for k in (1, 2, 3):
        rows = np.flatnonzero(ends - k >= starts)
        rows = rows[follow[ends[rows] - k] >= k]
        follow[ends[rows] - k] = 0
        cut[rows] = True
    return cut
