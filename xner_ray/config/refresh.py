"""Section of the config for `xner refresh`: when to retrain, what to promote, what to keep, and measured speeds."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from xner_ray.config.base import PositiveInt, StrictModel


class RateConfig(StrictModel):
    """A measured speed, for the cost estimate of `xner refresh --dry-run`. Without a measurement there is no estimate."""

    stage: Literal["ingest", "label", "filter"] = Field(description="Stage that was measured.")
    pairs_per_second: float = Field(gt=0, description="Pairs per second.")
    device: str = Field(description="Device that was measured, e.g. core or H200. The estimate is in hours of it.")
    model: str | None = Field(None, description="Encoder or model that was measured. null: the stage ran no model.")
    source: str = Field(description="Origin of the measurement: where, when and with what.")


class RefreshConfig(StrictModel):
    """The scheduled refresh, `xner refresh`."""

    min_growth: float = Field(
        0.05,
        ge=0,
        description="Retrain when a language's candidate sentences grew by this fraction since the last training.",
    )
    max_f1_drop: float = Field(
        0.5,
        ge=0,
        description="Maximum loss of F1 of any language, in percentage points. With a larger loss new students are not"
        " promoted.",
    )
    keep_versions: PositiveInt = Field(
        3, description="Number of promoted versions to keep, including the current one."
    )
    silver_sentences: PositiveInt = Field(
        1000,
        description="Size of the silver evaluation set of a language without gold in `evaluation`. It is at most a"
        " tenth of the language's kept sentences.",
    )
    lock_timeout_s: float = Field(
        300.0, gt=0, description="Seconds. A lock without a heartbeat for this long is stale, and is taken over."
    )
    publish: str | None = Field(
        None,
        description="Folder or URL for students, the pointer `current.json`, and reports. Default: OUT/published.",
    )
    rates: list[RateConfig] = Field(
        [], description="Measured speeds, for the dry run. Those of earlier refreshes are added."
    )
