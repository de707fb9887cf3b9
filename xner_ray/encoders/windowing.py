"""Text that is longer than the model: overlapping windows, and each token's answer from the window where it is most central.

Nothing is cut silently: callers count the rows that needed windows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xner_ray.encoders.ragged import Ragged, offsets_of, ranges


@dataclass(frozen=True)
class Windows:
    """`ids`: rows of at most `room` tokens; window i holds tokens from `starts[i]` on of row `rows[i]`.

    `positions`, int64 [tokens of the original]: where in `ids.values` each original token is answered.
    """

    ids: Ragged
    rows: np.ndarray
    starts: np.ndarray
    positions: np.ndarray

    @property
    def windowed_rows(self) -> int:
        """How many rows were longer than one window."""
        return int(np.sum(np.bincount(self.rows) > 1)) if len(self.rows) else 0


def windows(ids: Ragged, room: np.ndarray | int, overlap: int = 64) -> Windows:
    """Cut rows into windows.

    Args:
        ids: token ids without special tokens.
        room: most tokens a window, for all rows or int [rows]; more than 2 x overlap.
        overlap: tokens that neighboring windows share; half of the room where that is less.
    """
    lengths = ids.lengths
    room = np.broadcast_to(np.asarray(room, np.int64), lengths.shape)
    step = room - np.minimum(overlap, room // 2)
    count = np.where(lengths > room, 1 + -(-(lengths - room) // np.maximum(1, step)), 1)
    rows = np.repeat(np.arange(len(ids)), count)
    nth = np.arange(len(rows)) - np.repeat(offsets_of(count)[:-1], count)
    # The last window ends with the row, so that it is as long as the others.
    starts = np.minimum(nth * step[rows], np.maximum(0, lengths - room)[rows])
    sizes = np.minimum(room[rows], lengths[rows])
    cut = Ragged(ids.values[ranges(ids.offsets[rows] + starts, sizes)], offsets_of(sizes))
    return Windows(cut, rows, starts, _central(ids, cut, rows, starts, sizes))


def _central(ids: Ragged, cut: Ragged, rows: np.ndarray, starts: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """For every original token the position, in the windows, that is farthest from a cut edge."""
    if len(rows) == len(ids):
        return np.arange(len(ids.values), dtype=np.int64)
    at = ranges(np.zeros(len(rows), np.int64), sizes)
    window = np.repeat(np.arange(len(rows)), sizes)
    token = ids.offsets[rows][window] + starts[window] + at
    left = np.where(starts[window] == 0, np.iinfo(np.int64).max, at)
    ends_row = (starts + sizes == ids.lengths[rows])[window]
    right = np.where(ends_row, np.iinfo(np.int64).max, sizes[window] - 1 - at)
    order = np.lexsort((-np.minimum(left, right), token))  # by token, the most central first
    _, first = np.unique(token[order], return_index=True)
    return order[first]
