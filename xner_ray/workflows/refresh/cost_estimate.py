"""What a night will cost, by speeds that were measured: those of the config (`refresh.rates`) and those of earlier nights.

Pairs and bytes are the catalog's, hours are pairs by a rate, told in hours of what the rate was measured on, with where it
was measured. Where a stage's speed was never measured with the run's models, the estimate says so and gives no hours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from xner_ray.config import Config, RateConfig
from xner_ray.workflows.refresh.change_detection import Corpus, Look

STAGES = ("ingest", "label", "filter")
MODELS = "label"  # the stage whose speed is that of models


@dataclass(frozen=True)
class Cost:
    """hours: of `device`; None where the speed is not known. source: where it was measured, or why it is not known."""

    stage: str
    pairs: int
    hours: float | None
    device: str
    source: str


@dataclass(frozen=True)
class Plan:
    """What a night would do."""

    corpora: list[Corpus]
    costs: list[Cost]
    notes: list[str]

    def to_json(self) -> dict[str, Any]:
        return {
            "corpora": [c.to_json() for c in self.corpora],
            "total": self.total(),
            "costs": [vars(c) for c in self.costs],
            "notes": self.notes,
        }

    def total(self) -> dict[str, int]:
        """Lines to read, pairs by which the corpora grew, bytes to fetch; each archive counts once."""
        sizes = {c.item.path: c.size for c in self.corpora if c.item}
        return {
            "read": sum(c.to_read or 0 for c in self.corpora),
            "more": sum(c.more or 0 for c in self.corpora),
            "bytes": sum(sizes.values()),
        }


def estimate(config: Config, seen: Look, nights: Sequence[dict[str, Any]]) -> Plan:
    """The plan of a night.

    Args:
        config: whose models will label.
        nights: reports of earlier nights.
    """
    plan = Plan(seen.corpora, [], [])
    read, more = plan.total()["read"], plan.total()["more"]
    known = [*config.refresh.rates, *measured(nights)]
    costs = []
    for stage, pairs in (("ingest", read), ("label", more), ("filter", more)):
        costs += _costs(stage, pairs, known, models_told(config)) if pairs else []
    return Plan(seen.corpora, costs, list(_notes(config, seen, plan, any("compared" in night for night in nights))))


def _costs(stage: str, pairs: int, known: Sequence[RateConfig], models: str) -> list[Cost]:
    mine = [rate for rate in known if rate.stage == stage and rate.model in (None, models)]
    costs = [Cost(stage, pairs, pairs / r.pairs_per_second / 3600, r.device, _source(r)) for r in mine]
    needed = models if stage == MODELS else None
    if not any(rate.model == needed for rate in mine):
        whose = f" with {models}" if needed else ""
        costs.append(Cost(stage, pairs, None, "any device", f"never measured{whose}; the first night will"))
    return costs


def _source(rate: RateConfig) -> str:
    return f"{rate.source}{'' if rate.model else ', without models' if rate.stage == MODELS else ''}"


def measured(nights: Sequence[dict[str, Any]]) -> list[RateConfig]:
    """Speeds of earlier nights: for each stage, device and model the night that did most, since starting up is a part of it."""
    best: dict[tuple[str, str, str | None], tuple[int, RateConfig]] = {}
    for night in nights:
        for work in night.get("work", ()):
            pairs, seconds = work["amount"].get("pairs", 0), work["seconds"]
            if work["stage"] not in STAGES or not pairs or not seconds:
                continue
            model = night["models"] if work["stage"] == MODELS else None
            key = (work["stage"], night["device"], model)
            source = f"night {night['night']}, {night['began'][:10]}, {pairs:,} pairs"
            rate = RateConfig(
                stage=work["stage"],
                pairs_per_second=pairs / seconds,
                device=night["device"],
                model=model,
                source=source,
            )
            if key not in best or best[key][0] < pairs:
                best[key] = pairs, rate
    return [rate for _, rate in best.values()]


def models_told(config: Config) -> str:
    """What labels: a rate holds for the same teacher and aligner alone."""
    return f"{config.teacher.model or config.teacher.encoder} + {config.aligner.encoder}"


def _notes(config: Config, seen: Look, plan: Plan, trained: bool) -> list[str]:
    notes = []
    unknown = [f"{c.what} ({c.language})" for c in seen.corpora if c.to_read is None]
    if unknown:
        notes.append(f"nobody says how many pairs these have: {', '.join(unknown)}")
    if any(c.state == "changed" for c in seen.corpora):
        notes.append("of a changed corpus the plan knows by how much it grew; pairs that replace others come on top")
    total = plan.total()["bytes"]
    if total > config.opus.limit_gb * 1e9:
        notes.append(
            f"more than opus.limit_gb={config.opus.limit_gb:g} would be fetched: a night refuses until it is raised"
        )
    if total:
        notes.append("how long fetching takes depends on the line")
    if not trained:
        notes.append("the first night trains teacher and aligner, too; the speed of training was never measured here")
    return notes
