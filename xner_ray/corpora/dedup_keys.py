"""The key of a pair: 64 bits that are equal when both sides are, but for case, spaces and punctuation.

Keys are what deduplication stores (8 bytes a pair), so they must never change: `VERSION` is part of every collection, and
a known pair is checked before keys are trusted. By the birthday bound a hundred million distinct pairs have one
accidental collision with probability 0.0003, and a billion with 0.03; such a pair is counted as a duplicate.

All rows at once, about 10 ms per MB: what is to be ignored is deleted from the chunk's one buffer by `bytes.translate`,
and rows stay apart by a separator that cleaned text cannot hold.
"""

from __future__ import annotations

import functools

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from xner_ray.corpora.readers.line_reader import split_lines

VERSION = 1
_IGNORED = bytes(i for i in range(128) if not chr(i).isalnum() and chr(i) not in "\t\n")
_SIDE, _ROW = pa.scalar("\t", pa.large_string()), pa.scalar("\n", pa.large_string())
_CHECK = ("Don’t panic: 42!", "Keine Panik, 42。", 9453591982639393759)


def pair_keys(source: pa.Array | pa.ChunkedArray, target: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """Keys (uint64) of pairs of cleaned text, which has neither tabs nor line breaks."""
    _check()
    return _keys(source, target)


def _keys(source: pa.Array | pa.ChunkedArray, target: pa.Array | pa.ChunkedArray) -> np.ndarray:
    from pandas.util import hash_array

    sides = [x.cast(pa.large_string()) for x in (source, target)]
    joined = pc.binary_join_element_wise(*sides, _ROW, _SIDE)
    rows = []
    for chunk in joined.chunks if isinstance(joined, pa.ChunkedArray) else [joined]:
        if len(chunk):
            text = _normalized(pc.utf8_lower(chunk))
            rows.append(hash_array(split_lines(text).to_numpy(zero_copy_only=False), categorize=False))
    return np.concatenate(rows) if rows else np.zeros(0, np.uint64)


def _normalized(lowered: pa.LargeStringArray) -> bytes:
    """All rows in one: letters and digits, a tab after each side, LF after each row."""
    data = np.frombuffer(lowered.buffers()[2], np.uint8).copy()
    for lead, second, ignored in _WIDE:
        at = np.flatnonzero(data[:-2] == lead)  # rare, but for the Chinese: what follows is looked at there alone
        at = at[(data[at + 1] == second) & ignored[data[at + 2]]]
        data[at] = data[at + 1] = data[at + 2] = 32
    at = np.flatnonzero(data[:-1] == 0xC2)
    at = at[_LATIN[data[at + 1]]]
    data[at] = data[at + 1] = 32
    return data.tobytes().translate(None, _IGNORED)


def _table(*ranges: tuple[int, int]) -> np.ndarray:
    table = np.zeros(256, bool)
    for first, last in ranges:
        table[first : last + 1] = True
    return table


# Punctuation and spaces beyond ASCII, as UTF-8: the last byte of three decides, or that of two after C2.
_WIDE = (
    (0xE2, 0x80, _table((0x80, 0xBF))),  # U+2000..203F: spaces, dashes, quotes, ellipsis
    (0xE3, 0x80, _table((0x80, 0x83), (0x88, 0x9F))),  # U+3000..3003, 3008..301F: Chinese punctuation
    (0xEF, 0xBC, _table((0x81, 0x8F), (0x9A, 0xA0))),  # U+FF01..FF0F, FF1A..FF20: its full-width forms
)
_LATIN = _table((0xA0, 0xA1), (0xAB, 0xAB), (0xB4, 0xB4), (0xB7, 0xB7), (0xBB, 0xBB), (0xBF, 0xBF))


@functools.cache
def _check() -> None:
    source, target, key = _CHECK
    found = int(_keys(pa.array([source]), pa.array([target]))[0])
    if found != key:
        raise RuntimeError(
            f"this pandas or pyarrow hashes a known pair to {found}, not to {key}: indexes would not fit"
        )
