"""`xner plan`: what each stage of a run would do, and whether its files exist and fit together.

It writes nothing and uses no network.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from xner_ray.config import Config
from xner_ray.errors import UserError
from xner_ray.pipeline.context import Context
from xner_ray.pipeline.pipeline import build_pipeline
from xner_ray.pipeline.runner import Runner, StagePlan
from xner_ray.preflight.input_checks import check_inputs, describe_languages
from xner_ray.preflight.workload import SharesToDo
from xner_ray.workflows.plan_costs import PlanCosts, plan_costs


@dataclass(frozen=True)
class RunPlan:
    """What a run would do.

    Attributes:
        stages: in their order.
        problems: files that are missing or cannot be used, and parts that do not fit together.
        warnings: what is unusual in the files, and that CPUs of this machine are too slow, one line each.
        languages: source and target languages by code and name.
        costs: hours, disk and cost.
    """

    stages: list[StagePlan]
    problems: list[UserError]
    warnings: list[str] = field(default_factory=list)
    languages: str = ""
    costs: PlanCosts | None = None


def plan_run(
    config: Config,
    config_file: str | Path,
    log: Callable[[str], None],
    cpu_price: float | None = None,
    gpu_price: float | None = None,
) -> RunPlan:
    """The plan of a run: for each stage whether it is done, or its work and the reason.

    Args:
        config: the checked config.
        config_file: for messages.
        log: called with warnings, such as a corpus that OPUS does not have.
        cpu_price, gpu_price: of an hour of a core and of a GPU; None: not known.
    """
    ctx = Context.open(config, config_file, log, offline=True)
    stages = Runner(ctx, build_pipeline(ctx.config)).plan()
    inputs = check_inputs(ctx.config, config_file)
    problems = inputs.problems
    problems += [p.error for p in stages if p.error and str(p.error.file) not in {str(e.file) for e in problems}]
    costs = plan_costs(ctx.config, stages, cpu_price, gpu_price)
    warnings = list(inputs.warnings)
    if slow := costs.problem:  # the run may be for another machine, which is not asked
        warnings.append(f"on this machine, `xner run` refuses this run: {slow.problem} ({slow.key}): {slow.remedy}")
    return RunPlan(stages, problems, warnings, describe_languages(ctx.config), costs)


def shares_to_do(config: Config, config_file: str | Path, names: Sequence[str] | None = None) -> SharesToDo:
    """The part of each stage that is to do, 0 to 1, or None if it is not known. Stages that are not needed are left out.

    Args:
        config: the checked config.
        config_file: for messages.
        names: the stages that will run, with those that they need; None: all.
    """
    runner = Runner(Context.open(config, config_file, lambda line: None, offline=True), build_pipeline(config))
    needed, waiting = set(), list(names or runner.stages)
    while waiting:
        name = waiting.pop()
        if name in runner.stages and name not in needed:
            needed.add(name)
            waiting += runner.stages[name].needs
    return {plan.stage: plan.share_to_do for plan in runner.plan() if plan.stage in needed}
