"""64-bit keys of sentences and of sentence pairs. Equal keys mean: the same letters and digits, in any letter case.

There are two families, because their values must not change:

- `pair_keys` and `target_keys` find duplicates. Collections store them on disk, with `PAIR_KEY_VERSION`. They ignore the
  ASCII and the most frequent other punctuation. They are computed on bytes, about 10 ms per MB of text.
- `text_keys` decides splits and finds evaluation sentences in training data. It ignores all characters that Unicode does
  not call letters or digits.

By the birthday bound, 100 million distinct pairs have an accidental collision with probability 0.0003, a billion with
0.03. A collision counts as a duplicate.
"""

from __future__ import annotations

import functools
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from xner_ray.text.arrow_kernels import split_at

Strings: TypeAlias = pa.Array | pa.ChunkedArray

PAIR_KEY_VERSION = 1
_IGNORED = bytes(i for i in range(128) if not chr(i).isalnum() and chr(i) not in "\t\n")
_SIDE, _ROW = pa.scalar("\t", pa.large_string()), pa.scalar("\n", pa.large_string())
_CHECK = ("Don’t panic: 42!", "Keine Panik, 42。", 9453591982639393759)


def splitmix64(x: np.ndarray) -> np.ndarray:
    """Return the finalizer of splitmix64, a bijection that mixes all bits.

    Args:
        x: uint64 [n].

    Returns:
        uint64 [n].

    Source: Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.
    """
    with np.errstate(over="ignore"):
        x = x + np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def unit_interval(keys: np.ndarray) -> np.ndarray:
    """float64 [n] in [0, 1), by the upper 53 bits of uint64 keys."""
    return (keys >> np.uint64(11)) / 2.0**53


def text_keys(texts: Strings, *, seed: int = 0, nfkc: bool = False) -> np.ndarray:
    """Keys of sentences, equal where the letters and digits (Unicode categories L and N) are.

    Args:
        texts: string [n].
        seed: another seed gives other keys.
        nfkc: normalize with NFKC first, so that full-width forms equal ASCII.

    Returns:
        uint64 [n].
    """
    from pandas.util import hash_array

    if nfkc:
        texts = pc.utf8_normalize(texts, "NFKC")
    plain = pc.replace_substring_regex(pc.utf8_lower(texts), r"[^\pL\pN]+", "")
    return hash_array(plain.to_numpy(zero_copy_only=False), hash_key=f"{seed % 16**16:016x}", categorize=False)


def pair_keys(source: Strings, target: Strings) -> np.ndarray:
    """Keys of sentence pairs, equal where both sides differ in letter case, spaces and punctuation alone.

    Args:
        source: string [n]. Cleaned text: no tabs and no line breaks.
        target: string [n], likewise.

    Returns:
        uint64 [n].

    Raises:
        RuntimeError: the installed pandas or pyarrow gives a known pair another key.
    """
    _check()
    return _pair_keys(source, target)


def target_keys(target: Strings) -> np.ndarray:
    """Keys of target sentences alone, uint64 [n]: those of pairs with an empty source."""
    return pair_keys(pa.array([""] * len(target), pa.string()), target)


def _pair_keys(source: Strings, target: Strings) -> np.ndarray:
    from pandas.util import hash_array

    sides = [x.cast(pa.large_string()) for x in (source, target)]
    joined = pc.binary_join_element_wise(*sides, _ROW, _SIDE)
    keys = []
    for chunk in joined.chunks if isinstance(joined, pa.ChunkedArray) else [joined]:
        if len(chunk):
            text = _letters_and_digits(pc.utf8_lower(chunk))
            rows = split_at(text, np.flatnonzero(np.frombuffer(text, np.uint8) == 10) + 1)
            keys.append(hash_array(rows.to_numpy(zero_copy_only=False), categorize=False))
    return np.concatenate(keys) if keys else np.zeros(0, np.uint64)


def _letters_and_digits(lowered: pa.LargeStringArray) -> bytes:
    """Return the letters and digits of all rows in one block, with a tab after each side and LF after each row."""
    data = np.frombuffer(lowered.buffers()[2], np.uint8).copy()
    for lead, second, ignored in _THREE_BYTES:
        at = np.flatnonzero(data[:-2] == lead)  # rare except in Chinese, so only these positions are compared further
        at = at[(data[at + 1] == second) & ignored[data[at + 2]]]
        data[at] = data[at + 1] = data[at + 2] = 32
    at = np.flatnonzero(data[:-1] == 0xC2)
    at = at[_TWO_BYTES[data[at + 1]]]
    data[at] = data[at + 1] = 32
    return data.tobytes().translate(None, _IGNORED)


def _table(*ranges: tuple[int, int]) -> np.ndarray:
    table = np.zeros(256, bool)
    for first, last in ranges:
        table[first : last + 1] = True
    return table


# Punctuation and spaces beyond ASCII, in UTF-8: the first bytes, and a table of the last byte.
_THREE_BYTES = (
    (0xE2, 0x80, _table((0x80, 0xBF))),  # U+2000..203F: spaces, dashes, quotes, ellipsis
    (0xE3, 0x80, _table((0x80, 0x83), (0x88, 0x9F))),  # U+3000..3003, 3008..301F: Chinese punctuation
    (0xEF, 0xBC, _table((0x81, 0x8F), (0x9A, 0xA0))),  # U+FF01..FF0F, FF1A..FF20: its full-width forms
)
_TWO_BYTES = _table((0xA0, 0xA1), (0xAB, 0xAB), (0xB4, 0xB4), (0xB7, 0xB7), (0xBB, 0xBB), (0xBF, 0xBF))  # after C2


@functools.cache
def _check() -> None:
    source, target, expected = _CHECK
    key = int(_pair_keys(pa.array([source]), pa.array([target]))[0])
    if key != expected:
        raise RuntimeError(
            f"this pandas or pyarrow hashes a known pair to {key}, not to {expected}: stored keys would not match"
        )
