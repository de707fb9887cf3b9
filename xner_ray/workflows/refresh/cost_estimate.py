"""Estimates the cost of a refresh from measured speeds: those of the config (`refresh.rates`) and of earlier refreshes.

Pairs and bytes come from the catalog. Hours are pairs divided by a speed, for the device of the measurement. If the speed of a
stage was never measured with the models of the run, the estimate contains no hours and the reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from xner_ray.config import Config, RateConfig
from xner_ray.workflows.refresh.change_detection import CorpusState, DetectedChanges

STAGES = ("ingest", "label", "filter")
MODEL_STAGE = "label"  # its speed depends on the models


@dataclass(frozen=True)
class Cost:
    """The cost of a stage.

    Attributes:
        stage: the name of the stage.
        pairs: pairs to process.
        hours: hours of `device`; None if the speed is unknown.
        device: the device of the measurement.
        source: the measurement, or why there is none.
    """

    stage: str
    pairs: int
    hours: float | None
    device: str
    source: str


@dataclass(frozen=True)
class RefreshPlan:
    """What a refresh would do.

    Attributes:
        corpora: each corpus in each language.
        costs: the costs of the stages, one for each known rate.
        notes: remarks on the estimate.
    """

    corpora: list[CorpusState]
    costs: list[Cost]
    notes: list[str]

    def to_json(self) -> dict[str, Any]:
        """The plan for `--json`."""
        return {
            "corpora": [c.to_json() for c in self.corpora],
            "total": self.total(),
            "costs": [vars(c) for c in self.costs],
            "notes": self.notes,
        }

    def total(self) -> dict[str, int]:
        """Lines to read, new pairs, and bytes to fetch; each archive counts once."""
        sizes = {c.item.path: c.size for c in self.corpora if c.item}
        return {
            "lines_to_read": sum(c.lines_to_read or 0 for c in self.corpora),
            "new_pairs": sum(c.new_pairs or 0 for c in self.corpora),
            "bytes": sum(sizes.values()),
        }


def estimate_costs(config: Config, changes: DetectedChanges, reports: Sequence[dict[str, Any]]) -> RefreshPlan:
    """Estimate what a refresh does and costs.

    Args:
        config: the config of the refresh. Its models label.
        changes: the new and changed corpora.
        reports: the reports of earlier refreshes.
    """
    plan = RefreshPlan(changes.corpora, [], [])
    lines, new = plan.total()["lines_to_read"], plan.total()["new_pairs"]
    rates = [*config.refresh.rates, *measured_rates(reports)]
    costs = []
    for stage, pairs in (("ingest", lines), ("label", new), ("filter", new)):
        costs += stage_costs(stage, pairs, rates, model_names(config)) if pairs else []
    was_trained = any("comparisons" in report for report in reports)
    return RefreshPlan(changes.corpora, costs, _notes(config, plan, was_trained))


def stage_costs(stage: str, pairs: int, rates: Sequence[RateConfig], models: str) -> list[Cost]:
    """The cost of a stage by each rate that is valid for it, and a cost without hours if none was measured with its models.

    Args:
        stage: its name.
        pairs: to process.
        rates: measured speeds of all stages.
        models: see `model_names`.
    """
    of_stage = [rate for rate in rates if rate.stage == stage and rate.model in (None, models)]
    costs = [Cost(stage, pairs, pairs / r.pairs_per_second / 3600, r.device, _source(r)) for r in of_stage]
    model = models if stage == MODEL_STAGE else None
    if not any(rate.model == model for rate in of_stage):
        with_models = f" with {models}" if model else ""
        source = f"never measured{with_models}; the first refresh measures it"
        costs.append(Cost(stage, pairs, None, "any device", source))
    return costs


def _source(rate: RateConfig) -> str:
    return rate.source + (", without models" if rate.stage == MODEL_STAGE and not rate.model else "")


def measured_rates(reports: Sequence[dict[str, Any]]) -> list[RateConfig]:
    """Return the speeds of earlier refreshes.

    If several refreshes measured a stage, device and model, the one with the most pairs is used. Its start-up time matters least.

    Args:
        reports: the reports of earlier refreshes. `source` replaces number and date of a refresh.
    """
    best: dict[tuple[str, str, str | None], tuple[int, RateConfig]] = {}
    for report in reports:
        for work in report.get("work", ()):
            pairs, seconds = work["amount"].get("pairs", 0), work["seconds"]
            if work["stage"] not in STAGES or not pairs or not seconds:
                continue
            model = report["models"] if work["stage"] == MODEL_STAGE else None
            key = (work["stage"], report["device"], model)
            rate = RateConfig(
                stage=work["stage"],
                pairs_per_second=pairs / seconds,
                device=report["device"],
                model=model,
                source=f"{report.get('source') or _refresh(report)}, {pairs:,} pairs",
            )
            if key not in best or best[key][0] < pairs:
                best[key] = pairs, rate
    return [rate for _, rate in best.values()]


def _refresh(report: dict[str, Any]) -> str:
    return f"refresh {report['number']}, {report['started'][:10]}"


def model_names(config: Config) -> str:
    """Return the names of the models that label. A measured rate is valid for the same teacher and aligner only."""
    return f"{config.teacher.model or config.teacher.encoder} + {config.aligner.encoder}"


def _notes(config: Config, plan: RefreshPlan, was_trained: bool) -> list[str]:
    notes = []
    unknown = [f"{c.source} ({c.language})" for c in plan.corpora if c.lines_to_read is None]
    if unknown:
        notes.append(f"the catalog does not contain the number of pairs of {', '.join(unknown)}")
    if any(c.state == "changed" for c in plan.corpora):
        notes.append("for a changed corpus the plan contains its growth, but not the pairs that were replaced")
    total = plan.total()["bytes"]
    if total > config.opus.limit_gb * 1e9:
        limit = f"opus.limit_gb={config.opus.limit_gb:g}"
        notes.append(f"the archives are larger than {limit}: a refresh stops with an error until you raise it")
    if total:
        notes.append("the time to fetch depends on the network")
    if not was_trained:
        notes.append("the first refresh also trains teacher and aligner; the hours of training are not in this plan")
    return notes
