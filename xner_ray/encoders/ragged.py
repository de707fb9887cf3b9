"""Lists of unequal length as two flat NumPy arrays: what tokenized text is, everywhere in the house.

Arrow list columns, tensors and shards all convert from and to this shape without a Python loop over rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Ragged:
    """`values[offsets[i]:offsets[i + 1]]` is row i. `values` is [tokens] or [tokens, width], `offsets` is int64 [rows + 1]."""

    values: np.ndarray
    offsets: np.ndarray

    @classmethod
    def of(cls, rows: Sequence[Sequence[int] | np.ndarray], dtype: str = "int32") -> Ragged:
        """From a list of sequences (tests and small inputs; hot paths build the arrays directly)."""
        lengths = np.fromiter((len(r) for r in rows), np.int64, len(rows))
        flat = np.concatenate([np.asarray(r, dtype) for r in rows]) if len(rows) else np.zeros(0, dtype)
        return cls(flat, offsets_of(lengths))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, row: int) -> np.ndarray:
        return self.values[self.offsets[row] : self.offsets[row + 1]]

    @property
    def lengths(self) -> np.ndarray:
        """int64 [rows]."""
        return np.diff(self.offsets)

    def take(self, rows: np.ndarray) -> Ragged:
        """The given rows, in the given order."""
        rows = np.asarray(rows, np.int64)
        lengths = self.lengths[rows]
        return Ragged(self.values[ranges(self.offsets[rows], lengths)], offsets_of(lengths))

    def row_of(self) -> np.ndarray:
        """int64 [tokens]: the row that each value belongs to."""
        return np.repeat(np.arange(len(self)), self.lengths)


def offsets_of(lengths: np.ndarray) -> np.ndarray:
    """int64 [rows + 1] from lengths [rows]."""
    out = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=out[1:])
    return out


def ranges(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """The integers start, start + 1, ..., start + length - 1 of every row, one after another: int64 [sum(lengths)]."""
    offsets = offsets_of(lengths)
    return np.arange(offsets[-1], dtype=np.int64) + np.repeat(np.asarray(starts, np.int64) - offsets[:-1], lengths)


def concatenate(parts: Sequence[Ragged]) -> Ragged:
    """Row-wise concatenation of several parts of equal row count: row i is parts[0][i] + parts[1][i] + ...

    Args:
        parts: each with the same number of rows; a part's dtype follows the first's.
    """
    lengths = np.stack([p.lengths for p in parts], axis=1)
    offsets = offsets_of(lengths.sum(axis=1))
    before = np.cumsum(lengths, axis=1) - lengths
    values = np.empty(offsets[-1], parts[0].values.dtype)
    for i, part in enumerate(parts):
        values[ranges(offsets[:-1] + before[:, i], lengths[:, i])] = part.values
    return Ragged(values, offsets)


def constant(values: Sequence[int], rows: int) -> Ragged:
    """The same few values in each row, e.g. the special tokens of a template."""
    return Ragged(np.tile(np.asarray(values, np.int32), rows), np.arange(rows + 1, dtype=np.int64) * len(values))
