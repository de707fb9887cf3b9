"""How far F1 may be off because the gold set is a sample: percentile intervals by the bootstrap over sentences.

Sentences are drawn with replacement, entities never: those of one sentence are right or wrong together. Every model is
resampled with the same draws, so two models on one gold set are compared draw by draw (a paired bootstrap), which tells a
small gain from noise far sooner than two intervals that overlap. The trade: an interval speaks of other sentences like
these, not of other seeds or other text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from xner_ray.evaluation.scores import check_aligned

RESAMPLES = 1000  # the ends of a 95% interval then move by about 2% of its width from seed to seed
LEVEL = 0.95
ALL = "all"  # the key of all types together
Draws = dict[str, list[float]]


def sentence_counts(gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> tuple[list[str], np.ndarray]:
    """Correct, predicted and gold entities of each sentence, as `scores` counts them.

    Args:
        gold, predicted: BIO2 tags of each sentence, aligned.

    Returns:
        the types, sorted, and int64 [sentences, types, 3].
    """
    check_aligned(gold, predicted)
    from seqeval.scheme import IOB2, Entities

    found = [
        [{(e.start, e.end, e.tag) for e in row} for row in Entities([list(tags) for tags in side], IOB2).entities]
        for side in (predicted, gold)
    ]
    types = sorted({tag for side in found for row in side for _, _, tag in row})
    column = {name: i for i, name in enumerate(types)}
    counts = np.zeros((len(gold), len(types), 3), np.int64)
    for i, (got, want) in enumerate(zip(*found, strict=True)):
        for k, entities in enumerate((got & want, got, want)):
            for _, _, tag in entities:
                counts[i, column[tag], k] += 1
    return types, counts


def resample(types: Sequence[str], counts: np.ndarray, resamples: int = RESAMPLES, seed: int = 0) -> Draws:
    """F1 in percent of each resample, for all types together and for each.

    The draws depend on the number of sentences, `resamples` and `seed` alone: equal for all models on one gold set.
    """
    sentences = len(counts)
    flat = counts.reshape(sentences, -1).astype(np.float64)
    rng = np.random.default_rng(seed)
    sums = np.empty((resamples, flat.shape[1]))
    for i in range(resamples):  # one at a time: a matrix of all draws would be resamples x sentences
        sums[i] = np.bincount(rng.integers(sentences, size=sentences), minlength=sentences) @ flat
    cells = sums.reshape(resamples, len(types), 3)
    draws = {ALL: _f1(cells.sum(axis=1))} | {name: _f1(cells[:, i]) for i, name in enumerate(types)}
    return {name: np.round(values, 2).tolist() for name, values in draws.items()}


def _f1(sums: np.ndarray) -> np.ndarray:
    """2 * correct / (predicted + gold) in percent; 0 where there is neither."""
    below = sums[:, 1] + sums[:, 2]
    return 200 * sums[:, 0] / np.where(below > 0, below, 1)


def interval(draws: Sequence[float]) -> list[float]:
    """The percentile interval of LEVEL, both ends rounded to two decimals."""
    tail = 100 * (1 - LEVEL) / 2
    return [round(float(x), 2) for x in np.percentile(draws, [tail, 100 - tail])]


def with_intervals(row: dict[str, Any], draws: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """A result of `scores` (or `mean_scores`) with `f1_interval`, overall and for each type."""
    types = {
        name: {**one, "f1_interval": interval(draws[name])} for name, one in row["types"].items() if name in draws
    }
    return {**row, "f1_interval": interval(draws[ALL]), "types": {**row["types"], **types}}


def mean_draws(runs: Sequence[Mapping[str, Sequence[float]]]) -> Draws:
    """The mean F1 of several runs, such as seeds, draw by draw; a type that a run lacks counts as 0 there."""
    names = sorted({name for run in runs for name in run})
    zero = [0.0] * len(runs[0][ALL])
    return {name: np.mean([list(run.get(name, zero)) for run in runs], axis=0).tolist() for name in names}


def gain(before: dict[str, Any], after: dict[str, Any], draws: tuple[Draws, Draws]) -> dict[str, Any]:
    """F1 after less F1 before: f1, f1_interval, and the same for each type under `types`.

    Args:
        before, after: results of `scores` or `mean_scores` on one gold set.
        draws: their resamples, in the same order.
    """

    def row(name: str, old: Mapping[str, float], new: Mapping[str, float]) -> dict[str, Any]:
        zero = [0.0] * len(draws[0][ALL])
        moved = np.subtract(draws[1].get(name, zero), draws[0].get(name, zero))
        return {"f1": round(new.get("f1", 0.0) - old.get("f1", 0.0), 2), "f1_interval": interval(moved.tolist())}

    names = sorted({*before["types"], *after["types"]})
    types = {name: row(name, before["types"].get(name, {}), after["types"].get(name, {})) for name in names}
    return {**row(ALL, before, after), "types": types}
