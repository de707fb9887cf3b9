"""Lists of unequal length as two flat NumPy arrays: the layout of tokenized text in this package.

Arrow's list columns have the same layout (values and offsets), so both convert into each other without a loop over rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Ragged:
    """Rows of unequal length.

    Row i is `values[offsets[i] : offsets[i + 1]]`. These invariants hold; the constructor does not check them:

    - `offsets[0] == 0` and `offsets[-1] == len(values)`, so the rows cover all values without gaps.
    - `offsets` never decreases. Equal neighbors are an empty row.

    Attributes:
        values: [tokens] or [tokens, width], any dtype.
        offsets: int64 [rows + 1].
    """

    values: np.ndarray
    offsets: np.ndarray

    @classmethod
    def from_rows(cls, rows: Sequence[Sequence[int] | np.ndarray]) -> Ragged:
        """int32 values from a list of sequences. It loops over rows, so hot paths build the arrays directly instead."""
        lengths = np.fromiter((len(r) for r in rows), np.int64, len(rows))
        flat = np.concatenate([np.asarray(r, np.int32) for r in rows]) if len(rows) else np.zeros(0, np.int32)
        return cls(flat, offsets_of(lengths))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, row: int) -> np.ndarray:
        return self.values[self.offsets[row] : self.offsets[row + 1]]

    @property
    def lengths(self) -> np.ndarray:
        """Length of each row: int64 [rows]."""
        return np.diff(self.offsets)

    def take(self, rows: np.ndarray) -> Ragged:
        """Select rows, in the given order; a row may be given several times.

        Args:
            rows: int [selected], row numbers.
        """
        rows = np.asarray(rows, np.int64)
        lengths = self.lengths[rows]
        return Ragged(self.values[ranges(self.offsets[rows], lengths)], offsets_of(lengths))

    def row_ids(self) -> np.ndarray:
        """Return the row number of each value: int64 [tokens]."""
        return np.repeat(np.arange(len(self)), self.lengths)


def offsets_of(lengths: np.ndarray) -> np.ndarray:
    """Offsets of rows from their lengths.

    Args:
        lengths: int [rows].

    Returns:
        int64 [rows + 1], the running sum with a leading 0.
    """
    out = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=out[1:])
    return out


def ranges(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """One integer range a row, all concatenated: start, start + 1, ..., start + length - 1.

    Args:
        starts: int [rows], the first integer of each range.
        lengths: int [rows].

    Returns:
        int64 [sum of lengths].
    """
    offsets = offsets_of(lengths)
    return np.arange(offsets[-1], dtype=np.int64) + np.repeat(np.asarray(starts, np.int64) - offsets[:-1], lengths)


def hstack(parts: Sequence[Ragged]) -> Ragged:
    """Concatenate row by row, as `np.hstack` does: row i is row i of the first part, then row i of the second, and so on.

    Args:
        parts: at least one, each with the same number of rows. The result has the dtype of the first.
    """
    lengths = np.stack([p.lengths for p in parts], axis=1)
    offsets = offsets_of(lengths.sum(axis=1))
    before = np.cumsum(lengths, axis=1) - lengths
    values = np.empty(offsets[-1], parts[0].values.dtype)
    for i, part in enumerate(parts):
        values[ranges(offsets[:-1] + before[:, i], lengths[:, i])] = part.values
    return Ragged(values, offsets)


def tile_rows(values: Sequence[int], rows: int) -> Ragged:
    """`rows` equal rows, such as the special tokens of a template: int32."""
    return Ragged(np.tile(np.asarray(values, np.int32), rows), np.arange(rows + 1, dtype=np.int64) * len(values))
