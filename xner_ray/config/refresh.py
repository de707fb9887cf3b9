"""The part of the config that says how a refresh decides: when to train, what to promote, what to keep, and what things cost."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from xner_ray.config.data import Model, Positive


class Rate(Model):
    """A speed that was measured, for the cost estimate of `xner refresh --dry-run`. Estimates are never guessed."""

    stage: Literal["ingest", "label", "dataset"] = Field(description="The stage that it is of.")
    pairs_per_second: float = Field(gt=0, description="Pairs that it took in a second.")
    device: str = Field(description="What took so many, e.g. core, H200: hours are told of that.")
    model: str | None = Field(
        None,
        description="The encoder or model that it was measured with; null: without any, all the rest of the work.",
    )
    source: str = Field(description="Where, when and by what it was measured.")


class Refresh(Model):
    """The nightly refresh, `xner refresh`."""

    min_growth: float = Field(
        0.05,
        ge=0,
        description="Train when a language has so much more to choose training sentences from than at the last training.",
    )
    max_f1_drop: float = Field(
        0.5, ge=0, description="Promote only where no language loses more F1 than this, in points of a percent."
    )
    keep_versions: Positive = Field(3, description="Promoted students that are kept, the current one included.")
    silver_sentences: Positive = Field(
        1000,
        description="Sentences of a frozen silver set for languages that `evaluation` has no gold for; at most a tenth of all.",
    )
    lock_timeout_s: float = Field(
        300.0, gt=0, description="Seconds after which the lock of a refresh that died is another's to take."
    )
    publish: str | None = Field(
        None,
        description="Where students, the pointer `current.json` and reports go: folder or URL; default: OUT/published.",
    )
    rates: list[Rate] = Field([], description="Measured speeds; those of earlier nights come on top.")
