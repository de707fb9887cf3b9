"""Micro-batches by token budget: sorted by length, so that little is padding, and cut so that rows x longest fits the budget.

A budget of tokens, not of rows, keeps the cost and the memory of each forward pass equal. The plan depends on lengths and
budget alone, so the same shard gives the same batches, and the same scores, everywhere.
"""

from __future__ import annotations

import numpy as np

from xner_ray.encoders.ragged import Ragged, ranges

FORWARD = 64  # a forward pass costs as much as this part of a full batch, beside its tokens


def plan(lengths: np.ndarray, budget: int) -> list[np.ndarray]:
    """Cut rows into batches as full as the budget lets them be: for training, where a batch is a step.

    Args:
        lengths: int [rows], tokens a row.
        budget: most padded tokens (rows x longest row) of a batch; a row longer than the budget is a batch of its own.

    Returns:
        One int64 array of row numbers a batch, longest rows first (so that memory runs out at once or never).
    """
    order = np.argsort(-np.asarray(lengths, np.int64), kind="stable")
    sorted_lengths = np.asarray(lengths, np.int64)[order]
    batches, at = [], 0
    while at < len(order):
        rows = max(1, budget // max(1, int(sorted_lengths[at])))
        batches.append(order[at : at + rows])
        at += rows
    return batches


def tight(lengths: np.ndarray, budget: int) -> list[np.ndarray]:
    """Cut rows into batches for inference: no other cut of the sorted rows costs less.

    A batch costs its padded tokens and what a forward pass costs beside them, about `budget / 64` tokens. `plan` fills the budget
    and pays for it with padding where a shard is small: on sentences of a news corpus, 4,096 tokens and shards of 200 rows 38%
    of what it runs is padding, of 2,000 rows 9%; here 8% and 2%. The search takes 7 microseconds a row.

    Args, returns: as `plan`.
    """
    order = np.argsort(-np.asarray(lengths, np.int64), kind="stable")
    longest, n = np.asarray(lengths, np.int64)[order], len(order)
    least = np.zeros(n + 1, np.int64)  # of the rows from here on
    until = np.zeros(n, np.int64)  # the end of the batch that begins here
    counts = np.arange(1, n + 1)
    for at in range(n - 1, -1, -1):
        width = int(longest[at])
        rows = min(n - at, max(1, budget // max(1, width)))
        costs = least[at + 1 : at + rows + 1] + width * counts[:rows]
        best = int(costs.argmin())
        least[at], until[at] = costs[best] + budget // FORWARD, at + 1 + best
    batches, at = [], 0
    while at < n:
        batches.append(order[at : until[at]])
        at = int(until[at])
    return batches


def padding(lengths: np.ndarray, batches: list[np.ndarray]) -> float:
    """Share of padded tokens that are padding, 0..1."""
    padded = sum(len(b) * int(lengths[b].max()) for b in batches if len(b))
    return 1 - float(np.sum(lengths)) / padded if padded else 0.0


def pad(rows: Ragged, batch: np.ndarray, value: float) -> tuple[np.ndarray, np.ndarray]:
    """One batch as a rectangle.

    Returns:
        [batch, longest] filled up with `value`, int64 or float32 as the rows are, and bool [batch, longest], True where a
        token is real.
    """
    lengths = rows.lengths[batch]
    mask = np.arange(int(lengths.max(initial=1)))[None, :] < lengths[:, None]
    out = np.full(mask.shape, value, np.float32 if rows.values.dtype.kind == "f" else np.int64)
    out[mask] = rows.values[ranges(rows.offsets[batch], lengths)]
    return out, mask
