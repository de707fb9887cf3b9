"""Hours, disk and cost of a run, for `xner plan`. All speeds are measured: by earlier runs, by this machine, or in `bench/`.

Earlier runs in the output folder come first, then the key `refresh.rates`. Without these, hours of CPUs follow from the floating
point operations of a run and the speed of this machine. Without a measured rate there are no hours of GPUs, nor of a cluster,
whose nodes a plan does not know.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from xner_ray.config import Config, RateConfig
from xner_ray.errors import UserError
from xner_ray.observability.work_log import read_work
from xner_ray.pipeline.runner import StagePlan
from xner_ray.preflight.cluster import LocalMachine
from xner_ray.preflight.labeling_checks import LABELED_RATIO
from xner_ray.preflight.ray_session import cluster_address
from xner_ray.preflight.workload import (
    BYTES_PER_PAIR,
    LABEL_EFFICIENCY,
    TRAINING_EFFICIENCY,
    UNKNOWN_PART,
    Workload,
    check_hours,
    estimate_workload,
    measure_matrix_flops,
)
from xner_ray.storage.output_dir import RUN
from xner_ray.workflows.refresh.cost_estimate import measured_rates, model_names, stage_costs
from xner_ray.workflows.run_record import MEASURED

# Speeds of stages without models. A test compares them with the files.
COMMITTED_RATES = (
    ("ingest", 137_863, "bench/results/ingest.json, one core of an Intel Xeon, 2026-11-22"),
    ("filter", 16_967, "bench/results/scale.json, two virtual cores of an AMD EPYC, 2026-12-01"),
)
EFFICIENCY_NOTE = (
    f"the speed of this machine is that of a matrix product; models reach {LABEL_EFFICIENCY:.0%} of it in labeling and"
    f" {TRAINING_EFFICIENCY:.0%} in training (bench/results/throughput.json and training.json, AMD EPYC, 2026-11-28)"
)
TRAINED_STAGES = ("teacher", "aligner", "student")


@dataclass(frozen=True)
class StageCost:
    """The cost of the part of a stage that is to do.

    Attributes:
        stage: name of the stage.
        hours: of `unit`; None: no speed was measured.
        unit: `CPU core`, `GPU`, or `device` if the devices of the cluster are not known.
        source: where the speed comes from, or why there is none.
        price: of all hours; None: the price of an hour is not known, or not all hours are.
        at_least: there are more hours, which are not known.
    """

    stage: str
    hours: float | None
    unit: str
    source: str
    price: float | None = None
    at_least: bool = False


@dataclass(frozen=True)
class PlanCosts:
    """What a run needs.

    Attributes:
        stages: those that are to do.
        disk_bytes: that the run writes, about.
        free_bytes: of the disk of `out`.
        notes: what is not in it, one line each.
        problem: the CPUs of this machine need longer than `ray.max_cpu_hours`. It is not computed if there is a cluster.
    """

    stages: list[StageCost]
    disk_bytes: int
    free_bytes: int
    notes: list[str] = field(default_factory=list)
    problem: UserError | None = None

    @property
    def price(self) -> float | None:
        """Of all stages; None: a price or a speed is missing."""
        prices = [cost.price for cost in self.stages]
        return None if any(price is None for price in prices) else sum(price or 0.0 for price in prices)


def plan_costs(
    config: Config, stages: Sequence[StagePlan], cpu_price: float | None = None, gpu_price: float | None = None
) -> PlanCosts:
    """Estimate what the stages of a plan that are not done need.

    Args:
        config: the checked config.
        stages: of the plan.
        cpu_price: of an hour of a CPU core, in any currency.
        gpu_price: of an hour of a GPU.
    """
    todo = {plan.stage: plan.share_to_do for plan in stages if not plan.is_done}
    work, local = estimate_workload(config), cluster_address(config.ray) is None
    machine = LocalMachine(config.ray) if local else None
    has_gpus = bool(config.ray.max_gpus or (machine and machine.nodes[0]["GPU"]))
    gpus = None if not (local or has_gpus) else has_gpus
    rates = [*config.refresh.rates, *measured_rates(_earlier_runs(Path(config.out)))]
    flops = measure_matrix_flops() if gpus is False and work.flop else 0.0
    costs = []
    notes = list(work.notes)
    for stage in ("ingest", "teacher", "aligner", "label", "filter", "student"):
        share = todo.get(stage, 0.0)
        if share is None:
            notes.append(f"{stage}: {UNKNOWN_PART}; all of it is counted here")
            share = 1.0
        if share:
            cost = _measured(config, stage, work.pairs, rates, gpus) or _computed(stage, work, flops, gpus)
            costs.append(_priced(cost, share, cpu_price, gpu_price))
    if not local:
        notes.append("the cluster was not asked: `xner preflight` checks its nodes")
    if flops:
        notes.append(EFFICIENCY_NOTE)
    if any(c.hours is not None for c in costs) and cpu_price is gpu_price is None:
        notes.append("the cost needs your prices of an hour: --cpu-price, --gpu-price")
    folder = next(
        path for path in [Path(config.out).absolute(), *Path(config.out).absolute().parents] if path.exists()
    )
    disk = round((work.pairs or 0) * BYTES_PER_PAIR * (1 + LABELED_RATIO)) + work.model_bytes
    problem = None
    if machine is not None:
        try:
            check_hours(config, machine, lambda: todo)
        except UserError as e:
            problem = e
    return PlanCosts(costs, disk, shutil.disk_usage(folder).free, notes, problem)


def _measured(
    config: Config, stage: str, pairs: int | None, rates: Sequence[RateConfig], gpus: bool | None
) -> StageCost | None:
    """By a rate in pairs per second; None: there is none for the kind of device of the run (`gpus` None: any kind)."""
    if not pairs or stage in TRAINED_STAGES:
        return None
    if stage != "label":
        committed = [(name, rate, source) for name, rate, source in COMMITTED_RATES if name == stage]
        rates = [*(_rate(name, rate, source) for name, rate, source in committed), *rates]  # the last one is used
        gpus = False
    for cost in reversed(stage_costs(stage, pairs, rates, model_names(config))):
        if (
            cost.hours is not None
            and gpus in (None, _unit(cost.device) == "GPU")
            and not cost.source.endswith("without models")
        ):
            return StageCost(stage, cost.hours * _number(cost.device), _unit(cost.device), cost.source)
    return None


def _rate(stage: Any, pairs_per_second: float, source: str) -> RateConfig:
    return RateConfig(stage=stage, pairs_per_second=pairs_per_second, device="core", source=source)


def _unit(device: str) -> str:
    """A device is `core`, `2 CPUs`, `8 GPUs (H100), 64 CPUs`, or the name of a kind of GPU, such as H200."""
    return "CPU core" if re.match(r"(core|[\d.]+ CPUs?)$", device) else "GPU"


def _number(device: str) -> float:
    match = re.match(r"([\d.]+) (?:CPU|GPU)s?\b", device)
    return float(match[1]) if match else 1.0


def _computed(stage: str, work: Workload, matrix_flops: float, gpus: bool | None) -> StageCost:
    has_model = stage == "label" or stage in TRAINED_STAGES
    if has_model and gpus is None:
        source = "no rate was measured with these models on the cluster; a first run measures labeling"
        return StageCost(stage, None, "device", source)
    if has_model and gpus:
        source = "no rate of a GPU was measured with these models; a first run measures labeling"
        return StageCost(stage, None, "GPU", source)
    if stage not in work.flop:
        return StageCost(stage, None, "CPU core", "the pairs or the size of a model are not known, see the notes")
    source = f"this machine, {matrix_flops / 1e9:.0f} GFLOP/s a core"
    hours = work.core_hours(matrix_flops)[stage]
    at_least = stage in work.at_least
    return StageCost(
        stage, hours, "CPU core", f"at least: {source}, see the notes" if at_least else source, at_least=at_least
    )


def _priced(cost: StageCost, share: float, cpu_price: float | None, gpu_price: float | None) -> StageCost:
    if cost.hours is None:
        return cost
    price, hours = gpu_price if cost.unit == "GPU" else cpu_price, cost.hours * share
    return replace(cost, hours=hours, price=None if price is None or cost.at_least else hours * price)


def _earlier_runs(out: Path) -> list[dict[str, Any]]:
    """The work of the last run that did some, in the form of a report of a refresh. Empty if there is none."""
    try:
        run = json.loads((out / RUN).read_bytes())[MEASURED]
        device, ended = str(run["resources"]), str(run["ended"])[:10]
        work, models = read_work(out)[int(run["first_row"]) :], str(run["models"])
    except (OSError, ValueError, KeyError, TypeError):
        return []  # no earlier run, or one of an older version, which has no record of its machine
    source = f"earlier run in {out}, {ended}, {device}"
    return [{"work": work, "device": device, "models": models, "source": source}]
