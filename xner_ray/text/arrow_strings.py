"""Many substrings at once: the text of millions of character spans without a Python loop.

Arrow has no substring with an offset for each row, and offsets of the house are code points while Arrow holds UTF-8.
So we find the byte at which every code point starts (one pass over the bytes) and gather the bytes of all spans into
a new string array. The trade: eight bytes of index for each character of the batch while it runs.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa


def char_lengths(strings: pa.StringArray) -> np.ndarray:
    """Code points of each string, int64."""
    return np.diff(_layout(strings)[2])


def slices(strings: pa.StringArray, rows: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> pa.LargeStringArray:
    """`strings[rows[i]][starts[i]:ends[i]]` for each i.

    Args:
        strings: n strings without nulls; may be a slice of a larger array.
        rows, starts, ends: equally long integer arrays; 0 <= start <= end <= code points of the row, else ValueError.
    """
    data, char_at, first_char = _layout(strings)
    rows = np.asarray(rows, dtype=np.int64)
    low = first_char[rows] + starts
    high = first_char[rows] + ends
    bad = (starts < 0) | (high < low) | (high > first_char[rows + 1])
    if bad.any():
        i = int(np.flatnonzero(bad)[0])
        raise ValueError(f"span {starts[i]}:{ends[i]} does not fit the text of row {rows[i]}")
    byte_low, byte_high = char_at[low], char_at[high]
    sizes = byte_high - byte_low
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])
    index = np.repeat(byte_low - offsets[:-1], sizes) + np.arange(offsets[-1])
    return pa.LargeStringArray.from_buffers(len(rows), pa.py_buffer(offsets), pa.py_buffer(data[index]))


def _layout(strings: pa.StringArray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Bytes, the byte at which each code point starts (and the end), and each row's first code point (and the end)."""
    if len(strings) == 0:
        return np.zeros(0, np.uint8), np.zeros(1, np.int64), np.zeros(1, np.int64)
    kind = np.int64 if pa.types.is_large_string(strings.type) else np.int32
    _, offset_buffer, data_buffer = strings.buffers()
    offsets = np.frombuffer(offset_buffer, dtype=kind)[strings.offset : strings.offset + len(strings) + 1].astype(
        np.int64
    )
    data = np.frombuffer(data_buffer or b"", dtype=np.uint8)[offsets[0] : offsets[-1]]
    offsets = offsets - offsets[0]
    starts = np.flatnonzero((data & 0xC0) != 0x80)  # every byte but the continuation bytes of UTF-8
    return data, np.append(starts, len(data)), np.searchsorted(starts, offsets)


def list_offsets(lists: pa.ListArray) -> np.ndarray:
    """Offsets of a list array into its `flatten()`, int64, starting at 0; the array may be a slice."""
    offsets = lists.offsets.to_numpy().astype(np.int64)
    return offsets - offsets[0]
