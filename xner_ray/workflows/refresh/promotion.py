"""The rule that decides whether new students replace the current ones: none may lose more than a tolerance.

A language counts by the mean F1 over its sets, so that a language with three gold sets is not three times as hard to please.
All languages are promoted together or none is: whoever uses the students gets a set that was compared as a set.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any


@dataclass(frozen=True)
class SetScore:
    """F1 in percent on one set. kind: gold or silver. before: of the current student, None where there is none."""

    name: str
    kind: str
    before: float | None
    after: float
    interval: list[float] | None = None  # 95% of after - before, paired over sentences


@dataclass(frozen=True)
class Compared:
    """A language's new student beside its current one."""

    language: str
    sets: list[SetScore]

    @property
    def before(self) -> float | None:
        """Mean over the sets; None where the language has no student yet."""
        scores = [s.before for s in self.sets if s.before is not None]
        return round(fmean(scores), 2) if len(scores) == len(self.sets) else None

    @property
    def after(self) -> float:
        return round(fmean(s.after for s in self.sets), 2)

    @property
    def change(self) -> float | None:
        return None if self.before is None else round(self.after - self.before, 2)


@dataclass(frozen=True)
class Decision:
    """`why`: sentences for the report."""

    promote: bool
    why: list[str] = field(default_factory=list)


def decide(compared: Sequence[Compared], tolerance: float) -> Decision:
    """Promote unless a language lost more than `tolerance` points of F1."""
    lost = [c for c in compared if c.change is not None and c.change < -tolerance]
    if lost:
        return Decision(
            False, [f"{c.language} lost {-(c.change or 0):g} points, the tolerance is {tolerance:g}" for c in lost]
        )
    why = [
        f"{c.language}: {c.after:g}, its first student" if c.change is None else f"{c.language}: {c.change:+g} points"
        for c in compared
    ]
    return Decision(True, why)


def reasons_to_train(
    available: dict[str, int], trained: dict[str, int], share: float, changed: Sequence[str] = ()
) -> list[str]:
    """Why to train; nothing where there is no reason to.

    Args:
        available: by language the sentences that training sentences can be chosen from.
        trained: the same at the last training; a language that is not in it was never trained.
        share: of growth that is worth a training.
        changed: what of the config changed since then, in words.
    """
    why = [f"changed: {line}" for line in changed]
    for language, now in available.items():
        before = trained.get(language)
        if before is None:
            why.append(f"{language} was never trained")
        elif now > before and now - before >= share * before:
            why.append(f"{language} grew from {before:,} to {now:,} sentences")
    return why


def as_rows(compared: Sequence[Compared]) -> list[dict[str, Any]]:
    """For the report."""
    return [
        {
            "language": c.language,
            "before": c.before,
            "after": c.after,
            "change": c.change,
            "sets": [vars(s) for s in c.sets],
        }
        for c in compared
    ]
