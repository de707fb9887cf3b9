"""Whether scores mean what they say: of the entities that a tagger is 80% sure of, are 80% right?

Bins of equal width over 0..1, empty ones left out. They hold counts, so the bins of several runs add up.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

BINS = 10


def reliability(scores: np.ndarray, correct: np.ndarray) -> list[dict[str, Any]]:
    """Bins in ascending order.

    Args:
        scores: float [entities], 0..1, of predicted entities.
        correct: bool [entities], whether each is a gold entity with the same ends and type.

    Returns:
        `low` and `high` (edges of the bin), `entities` and `correct` (counts), `score` (mean, 0..1).
    """
    bins = np.minimum((np.asarray(scores, np.float64) * BINS).astype(int), BINS - 1)
    entities, right, total = (np.bincount(bins, weights=w, minlength=BINS) for w in (None, correct, scores))
    return [
        {
            "low": i / BINS,
            "high": (i + 1) / BINS,
            "entities": int(entities[i]),
            "correct": int(right[i]),
            "score": round(float(total[i] / entities[i]), 4),
        }
        for i in np.flatnonzero(entities)
    ]


def merge(runs: Sequence[Sequence[dict[str, Any]]]) -> list[dict[str, Any]]:
    """The bins of several runs as one."""
    merged: dict[float, dict[str, Any]] = {}
    for row in (row for run in runs for row in run):
        old = merged.get(row["low"])
        if old is None:
            merged[row["low"]] = dict(row)
            continue
        n = old["entities"] + row["entities"]
        score = (old["score"] * old["entities"] + row["score"] * row["entities"]) / n
        old |= {"entities": n, "correct": old["correct"] + row["correct"], "score": round(score, 4)}
    return [merged[low] for low in sorted(merged)]


def expected_error(bins: Sequence[dict[str, Any]]) -> float | None:
    """Mean distance of score and share correct, weighted by entities (ECE), 0..1; None without any entity."""
    total = sum(row["entities"] for row in bins)
    return sum(abs(row["score"] * row["entities"] - row["correct"]) for row in bins) / total if total else None
