"""Calibration of entity scores: of the entities with a score of 0.8, 80% should be correct.

Scores are grouped into bins of equal width (a reliability diagram). Bins hold counts, so those of several runs can be merged.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

BINS = 10
TRUSTED = 0.95  # of the correct entities score at least `trusted_score`
MIN_CORRECT = 50  # entities; fewer say too little


def reliability(scores: np.ndarray, correct: np.ndarray) -> list[dict[str, Any]]:
    """Bins in ascending order, without empty ones.

    Args:
        scores: float [entities], scores of predicted entities, 0..1.
        correct: bool [entities], whether gold has an entity with the same boundaries and type.

    Returns:
        for each bin `low` and `high` (its edges), `entities` and `correct` (counts), `score` (mean score).
    """
    bins = np.minimum((np.asarray(scores, np.float64) * BINS).astype(int), BINS - 1)
    entities, correct_sum, score_sum = (np.bincount(bins, weights=w, minlength=BINS) for w in (None, correct, scores))
    return [
        {
            "low": i / BINS,
            "high": (i + 1) / BINS,
            "entities": int(entities[i]),
            "correct": int(correct_sum[i]),
            "score": round(float(score_sum[i] / entities[i]), 4),
        }
        for i in np.flatnonzero(entities)
    ]


def merge(runs: Sequence[Sequence[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Return the bins of all entities of several runs."""
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
    """Expected calibration error (ECE, Naeini et al. 2015), 0..1; None without entities.

    It is the mean of |mean score - part that is correct| over the bins, weighted by entities.
    """
    total = sum(row["entities"] for row in bins)
    return sum(abs(row["score"] * row["entities"] - row["correct"]) for row in bins) / total if total else None


def ece(bins: Sequence[dict[str, Any]]) -> float | None:
    """The expected calibration error in points, rounded; None without entities."""
    error = expected_error(bins)
    return None if error is None else round(100 * error, 2)


def trusted_score(scores: np.ndarray, correct: np.ndarray) -> float | None:
    """The score that `TRUSTED` of the correct entities reach, rounded down to hundredths. Lower scores are mostly wrong.

    Args:
        scores, correct: see `reliability`.

    Returns:
        the score; None: fewer than `MIN_CORRECT` entities are correct.
    """
    right = np.asarray(scores, np.float64)[np.asarray(correct, bool)]
    if len(right) < MIN_CORRECT:
        return None
    return math.floor(100 * float(np.quantile(right, 1 - TRUSTED, method="lower"))) / 100
