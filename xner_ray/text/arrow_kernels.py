"""Operations on Arrow strings and lists that Arrow lacks, over all rows at once.

Spans are in characters (code points), but Arrow stores UTF-8. Arrow also has no substring with its own offsets for each
row. `substrings` therefore finds the byte at which each code point starts, in one pass over the bytes, and gathers the
bytes of all spans. This takes eight bytes of memory for each character of the batch.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa


def string_bytes(strings: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Return the bytes of a string or binary array, without a copy.

    Args:
        strings: string, large_string, binary or large_binary [n]; may be a slice of a larger array.

    Returns:
        data: uint8 [bytes].
        offsets: int64 [n + 1] into `data`; the first is 0.
    """
    if len(strings) == 0:
        return np.zeros(0, np.uint8), np.zeros(1, np.int64)
    large = pa.types.is_large_string(strings.type) or pa.types.is_large_binary(strings.type)
    _, offset_buffer, data_buffer = strings.buffers()
    offsets = np.frombuffer(offset_buffer, np.int64 if large else np.int32)
    offsets = offsets[strings.offset : strings.offset + len(strings) + 1].astype(np.int64)
    data = np.frombuffer(data_buffer, np.uint8) if data_buffer is not None else np.zeros(0, np.uint8)
    return data[offsets[0] : offsets[-1]], offsets - offsets[0]


def split_at(data: bytes, ends: np.ndarray) -> pa.LargeBinaryArray:
    """Consecutive parts of a block of bytes as one array, without a copy.

    Args:
        data: the block.
        ends: int64 [n], ascending; the end of each part, exclusive. The first part starts at 0.

    Returns:
        large_binary [n].
    """
    offsets = np.concatenate([[0], ends]).astype(np.int64)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(data)]
    return pa.LargeBinaryArray.from_buffers(pa.large_binary(), len(ends), buffers)


def char_lengths(strings: pa.StringArray) -> np.ndarray:
    """Code points of each string, int64 [n]."""
    return np.diff(_code_points(strings)[2])


def substrings(strings: pa.StringArray, rows: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> pa.LargeStringArray:
    """`strings[rows[i]][starts[i]:ends[i]]` for each i.

    Args:
        strings: string or large_string [n] without nulls; may be a slice of a larger array.
        rows: int [spans], the string of each span.
        starts: int [spans], first code point.
        ends: int [spans], last code point, exclusive.

    Returns:
        large_string [spans].

    Raises:
        ValueError: a span does not lie within its string.
    """
    data, char_at, first_char = _code_points(strings)
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


def _code_points(strings: pa.StringArray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Bytes, the byte at which each code point starts (and the end), and each row's first code point (and the end)."""
    data, offsets = string_bytes(strings)
    starts = np.flatnonzero((data & 0xC0) != 0x80)  # all bytes except the continuation bytes of UTF-8
    return data, np.append(starts, len(data)), np.searchsorted(starts, offsets)


def list_offsets(lists: pa.ListArray) -> np.ndarray:
    """Offsets of a list array into its `flatten()`, int64 [n + 1], starting at 0; the array may be a slice."""
    offsets = lists.offsets.to_numpy().astype(np.int64)
    return offsets - offsets[0]


def flatten_fields(lists: pa.ListArray, *names: str) -> tuple[np.ndarray, list[np.ndarray]]:
    """Fields of the structs in a list array.

    Args:
        lists: list<struct> [n].
        names: the fields.

    Returns:
        rows: int64 [elements], the row of each element.
        fields: one array [elements] for each name; strings become codes.
    """
    rows = np.repeat(np.arange(len(lists)), np.diff(list_offsets(lists)))
    struct = lists.flatten()
    fields = [struct.field(name) for name in names]
    return rows, [dictionary_codes(f) if pa.types.is_string(f.type) else f.to_numpy() for f in fields]


def dictionary_codes(strings: pa.Array) -> np.ndarray:
    """int64 [n], equal where the strings are; numbered by first occurrence."""
    return strings.dictionary_encode().indices.to_numpy().astype(np.int64)


def bool_mask(array: pa.Array) -> np.ndarray:
    """bool [n] of a boolean array without nulls."""
    return array.to_numpy(zero_copy_only=False).astype(bool)


def group_starts(*columns: np.ndarray) -> np.ndarray:
    """bool [n]: where a sorted sequence of keys (one column per part of the key) begins a new key."""
    new = np.ones(len(columns[0]), bool)
    if len(new):
        new[1:] = np.any([c[1:] != c[:-1] for c in columns], axis=0)
    return new


def group_masks(batch: pa.RecordBatch, *names: str) -> Iterator[tuple[tuple[str, ...], np.ndarray]]:
    """Distinct values of some string columns, each with the rows that have them.

    Args:
        batch: with at least one row.
        names: columns of type string.

    Yields:
        The values, one for each column, and bool [rows].
    """
    columns = [batch.column(name).dictionary_encode() for name in names]
    shape = [len(c.dictionary) for c in columns]
    # One code for each combination: sorting rows of a matrix takes ten times as long.
    codes = np.ravel_multi_index([c.indices.to_numpy() for c in columns], shape)
    for code in np.unique(codes):
        key = np.unravel_index(code, shape)
        yield tuple(c.dictionary[int(k)].as_py() for c, k in zip(columns, key, strict=True)), codes == code


def first_occurrences(rows: np.ndarray, names: np.ndarray, types: np.ndarray) -> np.ndarray:
    """int64 [entities]: for each entity the index of the first one in its row with the same name and type.

    Args:
        rows: int [entities], in ascending order.
        names: int [entities], codes of the entities' texts.
        types: int [entities], codes of their types.
    """
    order = np.lexsort((types, names, rows))  # stable: equal entities stay in order
    new = group_starts(rows[order], names[order], types[order])
    first = np.empty(len(rows), np.int64)
    first[order] = order[np.flatnonzero(new)][np.cumsum(new) - 1]
    return first
