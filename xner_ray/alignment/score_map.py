"""Calibrated scores of projections, without gold in the target language.

The similarity and the trained aligner each choose a span of a name. If both are right with the probability a, and err
independently, they agree with the probability a². So the square root of the part of the names on which they agree is the part
that is right. This gives the mean of the calibrated scores. Agreement depends more on the raw score than correctness does,
because the mix often takes the right one of two different spans. So the log odds of the calibrated score rise with those of
the raw score SLOPE times as fast as the log odds of agreement do. A map has two numbers, and keeps the order of scores.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

ALL = "*"  # the map of languages without one of their own
MIN_NAMES = 100  # fewer say too little
MIN_AGREEMENT = 0.25  # below it one of the two has failed, and its agreement says nothing
SLOPE = 0.5  # 0.5 to 0.85 on eight gold sets of Europarl and XQuAD
_EDGE = 1e-3  # distance of a score from 0 and 1
_PRIOR = 1e-2  # of the regression: a finite slope where the names are separable


@dataclass(frozen=True)
class ScoreMap:
    """The calibrated score has the log odds `bias + slope * log odds of the raw score`.

    Attributes:
        bias: any finite number.
        slope: finite, 0 or more.
    """

    bias: float
    slope: float

    def __post_init__(self) -> None:
        if not (np.isfinite(self.bias) and np.isfinite(self.slope) and self.slope >= 0):
            raise ValueError(f"bias {self.bias} and slope {self.slope} are no score map")

    def __call__(self, scores: np.ndarray) -> np.ndarray:
        """Calibrated scores, float32, 0 to 1, rounded to 4 decimals.

        Args:
            scores: float, raw scores, 0 to 1.
        """
        return np.round(_sigmoid(self.bias + self.slope * _log_odds(scores)), 4).astype(np.float32)


def fit_score_map(scores: np.ndarray, agrees: np.ndarray) -> ScoreMap | None:
    """Fit a map to names without gold.

    Args:
        scores: float [names], raw scores of the chosen spans.
        agrees: bool [names], whether the similarity alone and the aligner alone choose the same span.

    Returns:
        The map. None: there are fewer than MIN_NAMES names, or the two agree on less than MIN_AGREEMENT of them.
    """
    if len(scores) < MIN_NAMES or agrees.mean() < MIN_AGREEMENT:
        return None
    odds = _log_odds(scores)
    slope = SLOPE * max(0.0, _regression_slope(odds, agrees))
    # Laplace's rule: names that all agree do not show that all are right.
    right = np.sqrt((agrees.sum() + 1) / (len(agrees) + 2))
    low, high = -40.0, 40.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _sigmoid(middle + slope * odds).mean() < right else (low, middle)
    return ScoreMap(round((low + high) / 2, 4), round(slope, 4))


def fit_score_maps(samples: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> dict[str, ScoreMap]:
    """Fit the map of each language, and that of all languages.

    Args:
        samples: by language the arguments of `fit_score_map`.

    Returns:
        By language, and ALL. A language for which `fit_score_map` returns None is missing, and has no part in ALL if its
        agreement is the reason.
    """
    used = {x: pair for x, pair in samples.items() if len(pair[0]) and pair[1].mean() >= MIN_AGREEMENT}
    if used:
        scores, agrees = (np.concatenate(column) for column in zip(*used.values(), strict=True))
        used = {**used, ALL: (scores, agrees)}
    maps = {x: fit_score_map(*pair) for x, pair in used.items()}
    return {x: score_map for x, score_map in maps.items() if score_map is not None}


def _regression_slope(x: np.ndarray, y: np.ndarray) -> float:
    """Slope of the logistic regression of y on x, by Newton's method."""
    inputs = np.stack([np.ones(len(x)), x], axis=1)
    weights = np.zeros(2)
    for _ in range(30):
        p = _sigmoid(inputs @ weights)
        gradient = inputs.T @ (y - p) - _PRIOR * len(x) * weights
        hessian = (inputs * (p * (1 - p))[:, None]).T @ inputs + _PRIOR * len(x) * np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        weights += np.clip(step, -1, 1)
    return float(weights[1])


def _log_odds(scores: np.ndarray) -> np.ndarray:
    clipped = np.clip(np.asarray(scores, np.float64), _EDGE, 1 - _EDGE)
    return np.log(clipped / (1 - clipped))


def _sigmoid(x: np.ndarray | float) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(x, -50, 50)))
