"""Confidence intervals of F1 by the bootstrap over sentences (Efron 1979), and paired comparisons of models.

Sentences are drawn with replacement, not entities, because errors within a sentence depend on each other. The draws are the same
for all models on one gold set. So two models are compared draw by draw (paired bootstrap, Koehn 2004), which detects smaller
differences than a comparison of two intervals. An interval covers other sentences of the same kind. It covers neither other
seeds nor other kinds of text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from xner_ray.evaluation.scores import check_aligned

RESAMPLES = 1000  # from seed to seed, the ends of a 95% interval move by about 2% of its width
LEVEL = 0.95
ALL = "all"  # the key of all types together

# F1 in percent of each resample: for ALL and for each entity type.
Draws: TypeAlias = dict[str, list[float]]


def sentence_counts(gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> tuple[list[str], np.ndarray]:
    """Entities of each sentence, counted as `scores` does.

    Args:
        gold: BIO2 tags of each sentence.
        predicted: likewise, for the same tokens.

    Returns:
        the types, sorted, and int64 [sentences, types, 3]: correct, predicted and gold entities.
    """
    check_aligned(gold, predicted)
    from seqeval.scheme import IOB2, Entities

    predicted_entities, gold_entities = (
        [{(e.start, e.end, e.tag) for e in row} for row in Entities([list(tags) for tags in side], IOB2).entities]
        for side in (predicted, gold)
    )
    types = sorted({tag for row in (*predicted_entities, *gold_entities) for _, _, tag in row})
    column = {name: i for i, name in enumerate(types)}
    counts = np.zeros((len(gold), len(types), 3), np.int64)
    for i, (found, expected) in enumerate(zip(predicted_entities, gold_entities, strict=True)):
        for k, entities in enumerate((found & expected, found, expected)):
            for _, _, tag in entities:
                counts[i, column[tag], k] += 1
    return types, counts


def resample(types: Sequence[str], counts: np.ndarray, resamples: int = RESAMPLES, seed: int = 0) -> Draws:
    """F1 of resampled gold sets, for all types together and for each one.

    The draws depend only on the number of sentences, `resamples` and `seed`. So they are the same for all models on one gold
    set.

    Args:
        types: names of the types.
        counts: int [sentences, types, 3], see `sentence_counts`.
        resamples: number of draws.
        seed: of the draws.
    """
    sentences = len(counts)
    flat = counts.reshape(sentences, -1).astype(np.float64)
    rng = np.random.default_rng(seed)
    sums = np.empty((resamples, flat.shape[1]))
    for i in range(resamples):  # one at a time, because a matrix of all draws would be resamples x sentences
        sums[i] = np.bincount(rng.integers(sentences, size=sentences), minlength=sentences) @ flat
    cells = sums.reshape(resamples, len(types), 3)
    draws = {ALL: _f1(cells.sum(axis=1))} | {name: _f1(cells[:, i]) for i, name in enumerate(types)}
    return {name: np.round(values, 2).tolist() for name, values in draws.items()}


def _f1(counts: np.ndarray) -> np.ndarray:
    """2 * correct / (predicted + gold) in percent, [n] of [n, 3]; 0 where there is no entity."""
    denominator = counts[:, 1] + counts[:, 2]
    return 200 * counts[:, 0] / np.where(denominator > 0, denominator, 1)


def interval(draws: Sequence[float]) -> list[float]:
    """Return the percentile interval of LEVEL: both ends, rounded to two decimals."""
    tail = 100 * (1 - LEVEL) / 2
    return [round(float(x), 2) for x in np.percentile(draws, [tail, 100 - tail])]


def with_intervals(result: dict[str, Any], draws: Draws) -> dict[str, Any]:
    """Return a result of `scores` or `mean_scores` with `f1_interval`, overall and for each type."""
    types = {
        name: {**row, "f1_interval": interval(draws[name])} for name, row in result["types"].items() if name in draws
    }
    return {**result, "f1_interval": interval(draws[ALL]), "types": {**result["types"], **types}}


def mean_draws(runs: Sequence[Draws]) -> Draws:
    """Return the mean F1 of several runs, such as seeds, draw by draw. A type that a run lacks counts as 0 there."""
    names = sorted({name for run in runs for name in run})
    zeros = [0.0] * len(runs[0][ALL])
    return {name: np.mean([list(run.get(name, zeros)) for run in runs], axis=0).tolist() for name in names}


def gain(before: dict[str, Any], after: dict[str, Any], draws: tuple[Draws, Draws]) -> dict[str, Any]:
    """Return the difference of two models on one gold set, in points of F1.

    Args:
        before: result of `scores` or `mean_scores`.
        after: likewise.
        draws: the resamples of both, in the same order.

    Returns:
        `f1` (after less before) and `f1_interval`; the same for each type under `types`.
    """
    zeros = [0.0] * len(draws[0][ALL])

    def difference(name: str, old: Mapping[str, float], new: Mapping[str, float]) -> dict[str, Any]:
        paired = np.subtract(draws[1].get(name, zeros), draws[0].get(name, zeros))
        return {"f1": round(new.get("f1", 0.0) - old.get("f1", 0.0), 2), "f1_interval": interval(paired.tolist())}

    names = sorted({*before["types"], *after["types"]})
    types = {name: difference(name, before["types"].get(name, {}), after["types"].get(name, {})) for name in names}
    return {**difference(ALL, before, after), "types": types}
