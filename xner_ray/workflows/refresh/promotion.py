"""The decision whether to train, and the decision whether the new students replace the current ones.

The new students are promoted unless a language loses more F1 than allowed. The F1 of a language is the mean over its evaluation
sets, so a language with three sets does not count three times. All languages are promoted together or none is, so the published
students are always a set that was compared as a whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any


@dataclass(frozen=True)
class SetScore:
    """F1 in percent on one evaluation set.

    Attributes:
        name: of the set.
        kind: gold or silver.
        before: F1 of the current student; None if there is none.
        after: F1 of the new student.
        interval: 95% confidence interval of after - before, paired over sentences.
    """

    name: str
    kind: str
    before: float | None
    after: float
    interval: list[float] | None = None


@dataclass(frozen=True)
class Comparison:
    """The scores of a language's new student and of its current one."""

    language: str
    sets: list[SetScore]

    @property
    def before(self) -> float | None:
        """Mean F1 of the current student over the sets; None if the language has no student yet."""
        scores = [s.before for s in self.sets if s.before is not None]
        return round(fmean(scores), 2) if len(scores) == len(self.sets) else None

    @property
    def after(self) -> float:
        """Mean F1 of the new student over the sets."""
        return round(fmean(s.after for s in self.sets), 2)

    @property
    def change(self) -> float | None:
        """after - before; None if the language has no student yet."""
        return None if self.before is None else round(self.after - self.before, 2)


@dataclass(frozen=True)
class Decision:
    """Whether to promote, and the reasons for the report."""

    promote: bool
    reasons: list[str] = field(default_factory=list)


def decide_promotion(comparisons: Sequence[Comparison], max_f1_drop: float) -> Decision:
    """Promote unless a language lost more than `max_f1_drop` points of F1."""
    losses = [c for c in comparisons if c.change is not None and c.change < -max_f1_drop]
    if losses:
        reasons = [
            f"{c.language} lost {-(c.change or 0):g} points, more than the {max_f1_drop:g} allowed" for c in losses
        ]
        return Decision(False, reasons)
    reasons = [
        f"{c.language}: {c.after:g}, its first student" if c.change is None else f"{c.language}: {c.change:+g} points"
        for c in comparisons
    ]
    return Decision(True, reasons)


def reasons_to_train(
    available: dict[str, int], trained: dict[str, int], min_growth: float, changed: Sequence[str] = ()
) -> list[str]:
    """Return the reasons to train. The list is empty if there is none.

    Args:
        available: the candidate training sentences of each language.
        trained: the same at the last training; it lacks a language that was never trained.
        min_growth: the growth, as a fraction, that is a reason to train.
        changed: the changes of the config since the last training, in words.
    """
    reasons = [f"changed: {line}" for line in changed]
    for language, now in available.items():
        before = trained.get(language)
        if before is None:
            reasons.append(f"{language} was never trained")
        elif now > before and now - before >= min_growth * before:
            reasons.append(f"{language} grew from {before:,} to {now:,} sentences")
    return reasons


def comparison_rows(comparisons: Sequence[Comparison]) -> list[dict[str, Any]]:
    """Return the comparisons as JSON for the report."""
    return [
        {
            "language": c.language,
            "before": c.before,
            "after": c.after,
            "change": c.change,
            "sets": [vars(s) for s in c.sets],
        }
        for c in comparisons
    ]
