"""`xner plan`: what each stage of a run would do, and whether its files exist and fit together.

It writes nothing and uses no network.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from xner_ray.config import Config
from xner_ray.errors import UserError
from xner_ray.pipeline.context import Context
from xner_ray.pipeline.pipeline import build_pipeline
from xner_ray.pipeline.runner import Runner, StagePlan
from xner_ray.preflight.input_checks import check_inputs, describe_languages


@dataclass(frozen=True)
class RunPlan:
    """What a run would do.

    Attributes:
        stages: in their order.
        problems: files that are missing or cannot be used, and parts that do not fit together.
        warnings: what is unusual in the files, one line each.
        languages: source and target languages by code and name.
    """

    stages: list[StagePlan]
    problems: list[UserError]
    warnings: list[str] = field(default_factory=list)
    languages: str = ""


def plan_run(config: Config, config_file: str | Path, log: Callable[[str], None]) -> RunPlan:
    """The plan of a run: for each stage whether it is done, or its work and the reason.

    Args:
        config: the checked config.
        config_file: for messages.
        log: called with warnings, such as a corpus that OPUS does not have.
    """
    ctx = Context.open(config, config_file, log, offline=True)
    stages = Runner(ctx, build_pipeline(ctx.config)).plan()
    inputs = check_inputs(ctx.config, config_file)
    problems = inputs.problems
    problems += [p.error for p in stages if p.error and str(p.error.file) not in {str(e.file) for e in problems}]
    return RunPlan(stages, problems, inputs.warnings, describe_languages(ctx.config))
