"""Entity precision, recall and F1 as CoNLL-2003 defines them: an entity is correct if its type and both boundaries are.

Entities are counted by seqeval in strict mode, so figures compare with published ones. There an I- tag that continues nothing is
no entity. Values are percent, rounded to two decimals. A value without a denominator is 0.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from xner_ray.errors import UserError

METRICS = ("precision", "recall", "f1")


def scores(gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> dict[str, Any]:
    """Entity scores of predicted tags, micro-averaged over all types and for each type.

    Args:
        gold: BIO2 tags of each sentence.
        predicted: likewise, for the same tokens.

    Returns:
        `precision`, `recall`, `f1` (percent) and `support` (gold entities); the same for each type under `types`.

    Raises:
        UserError: the numbers of sentences, or of tokens of a sentence, differ.
    """
    check_aligned(gold, predicted)
    from seqeval.metrics.v1 import precision_recall_fscore_support
    from seqeval.scheme import IOB2, Entities

    sides = [[list(tags) for tags in side] for side in (gold, predicted)]
    names = sorted(set().union(*(Entities(side, IOB2).unique_tags for side in sides)))
    if not names:  # seqeval warns of data without any entity
        return {**_row(0, 0, 0, 0), "types": {}}

    def measure(average: str | None) -> tuple:
        return precision_recall_fscore_support(*sides, average=average, scheme=IOB2, zero_division=0)

    per_type = zip(*measure(None), strict=True)  # one row a type, in sorted order
    return {**_row(*measure("micro")), "types": {name: _row(*row) for name, row in zip(names, per_type, strict=True)}}


def check_aligned(gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> None:
    """Check that both have the same number of sentences, and each sentence the same number of tags.

    Raises:
        UserError: they do not.
    """
    if len(gold) != len(predicted):
        raise UserError(
            f"{len(gold)} gold sentences, {len(predicted)} predicted", remedy="score the same sentences, in order"
        )
    for i, (a, b) in enumerate(zip(gold, predicted, strict=True), 1):
        if len(a) != len(b):
            raise UserError(
                f"sentence {i} has {len(a)} gold tags and {len(b)} predicted", remedy="tag the gold's own tokens"
            )


def _row(precision: float, recall: float, f1: float, support: float) -> dict[str, Any]:
    fractions = {"precision": precision, "recall": recall, "f1": f1}
    return {k: round(100 * float(v), 2) for k, v in fractions.items()} | {"support": int(support)}


def mean_scores(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the mean of several results of `scores`, such as those of several seeds. A type that a run lacks counts as 0 there.

    Returns:
        the keys of `scores`, `std` (sample standard deviation of each metric, 0 for one run) and `runs` (their number).

    Raises:
        UserError: there are no runs.
    """
    if not runs:
        raise UserError("no scores to average", remedy="evaluate at least one seed")
    names = sorted({name for run in runs for name in run.get("types", {})})
    empty = {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 0}
    return {
        **_mean(runs),
        "types": {name: _mean([run.get("types", {}).get(name, empty) for run in runs]) for name in names},
        "runs": len(runs),
    }


def _mean(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    columns = {key: [float(row[key]) for row in rows] for key in METRICS}
    mean: dict[str, Any] = {key: round(statistics.fmean(values), 2) for key, values in columns.items()}
    mean["support"] = round(statistics.fmean(row["support"] for row in rows))
    mean["std"] = {key: round(statistics.stdev(v), 2) if len(v) > 1 else 0.0 for key, v in columns.items()}
    return mean
