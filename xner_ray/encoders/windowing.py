"""Sliding windows for text that is longer than the model.

Windows overlap, and the result of a token comes from the window in which it is farthest from an edge. No token is dropped;
callers count the rows that needed windows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xner_ray.encoders.ragged import Ragged, offsets_of, ranges


@dataclass(frozen=True)
class Windows:
    """Windows over rows of tokens.

    Attributes:
        ids: token ids, one row for each window.
        rows: int64 [windows], the original row of each window.
        positions: int64 [original tokens], for each original token the index in `ids.values` where its result is read.
    """

    ids: Ragged
    rows: np.ndarray
    positions: np.ndarray

    @property
    def windowed_rows(self) -> int:
        """Number of rows that needed more than one window."""
        return int(np.sum(np.bincount(self.rows) > 1)) if len(self.rows) else 0


def sliding_windows(ids: Ragged, max_tokens: np.ndarray | int, overlap: int = 64) -> Windows:
    """Split rows into windows. A row that fits is one window.

    Args:
        ids: token ids without special tokens.
        max_tokens: longest window in tokens, for all rows or int [rows].
        overlap: tokens that neighboring windows share; at most half of `max_tokens`.
    """
    lengths = ids.lengths
    max_tokens = np.broadcast_to(np.asarray(max_tokens, np.int64), lengths.shape)
    step = max_tokens - np.minimum(overlap, max_tokens // 2)
    count = np.where(lengths > max_tokens, 1 + -(-(lengths - max_tokens) // np.maximum(1, step)), 1)
    rows = np.repeat(np.arange(len(ids)), count)
    nth = np.arange(len(rows)) - np.repeat(offsets_of(count)[:-1], count)
    # The last window ends where the row ends, so that it is as long as the others.
    starts = np.minimum(nth * step[rows], np.maximum(0, lengths - max_tokens)[rows])
    sizes = np.minimum(max_tokens[rows], lengths[rows])
    windowed = Ragged(ids.values[ranges(ids.offsets[rows] + starts, sizes)], offsets_of(sizes))
    return Windows(windowed, rows, _central_positions(ids, rows, starts, sizes))


def _central_positions(ids: Ragged, rows: np.ndarray, starts: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """For each original token its position, among all tokens of the windows, that is farthest from a window's edge."""
    if len(rows) == len(ids):
        return np.arange(len(ids.values), dtype=np.int64)
    at = ranges(np.zeros(len(rows), np.int64), sizes)
    window = np.repeat(np.arange(len(rows)), sizes)
    token = ids.offsets[rows][window] + starts[window] + at
    # The start and the end of a row are no edges: nothing lies beyond them.
    left = np.where(starts[window] == 0, np.iinfo(np.int64).max, at)
    ends_row = (starts + sizes == ids.lengths[rows])[window]
    right = np.where(ends_row, np.iinfo(np.int64).max, sizes[window] - 1 - at)
    order = np.lexsort((-np.minimum(left, right), token))  # by token, the most central position first
    _, first = np.unique(token[order], return_index=True)
    return order[first]
