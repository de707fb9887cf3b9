"""Which values of a binary column are not UTF-8: for all rows at once.

Arrow's cast only says that some value is bad, and Python's decoder wants a call per row. Chunks without a fault,
nearly all, are settled by the cast at gigabytes a second; the rest is judged here byte by byte with NumPy, at some 50
MB/s.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from xner_ray.text.arrow_kernels import string_bytes


def rows_of(positions: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Mask of the rows that hold one of the byte positions."""
    mask = np.zeros(len(offsets) - 1, bool)
    mask[np.searchsorted(offsets, positions, side="right") - 1] = True
    return mask


def invalid_rows(column: pa.LargeBinaryArray) -> np.ndarray:
    """Mask of the rows that are not UTF-8 by the table of the Unicode standard (3-7). Null is valid."""
    try:
        column.cast(pa.large_string())
    except pa.ArrowInvalid:
        return _invalid_rows(column)
    return np.zeros(len(column), bool)


def _invalid_rows(column: pa.LargeBinaryArray) -> np.ndarray:
    data, offsets = string_bytes(column)
    n = len(data)
    # How many bytes follow a lead byte; 0 for ASCII, for continuations and for bytes that begin nothing.
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
    # The first continuation of E0, ED, F0 and F4 has a narrower range: no overlong forms, no surrogates, no more
    # than 10FFFF.
    for lead, low, high in ((0xE0, 0xA0, 0xBF), (0xED, 0x80, 0x9F), (0xF0, 0x90, 0xBF), (0xF4, 0x80, 0x8F)):
        bad |= (data == lead) & ((after < low) | (after > high))
    for k in (1, 2, 3):
        following = np.append(continuation[k:], np.zeros(min(k, n), bool))
        bad |= (follow >= k) & ~following
    mask = rows_of(np.flatnonzero(bad), offsets) if n else np.zeros(len(column), bool)
    return mask | cut


def _cut_rows(follow: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Rows that end within a character; their leads are cleared in `follow`, lest the next row completes them."""
    starts, ends = offsets[:-1], offsets[1:]
    cut = np.zeros(len(starts), bool)
    for k in (1, 2, 3):
        rows = np.flatnonzero(ends - k >= starts)
        rows = rows[follow[ends[rows] - k] >= k]
        follow[ends[rows] - k] = 0
        cut[rows] = True
    return cut
