"""The runner: it takes stages in the order of their needs, skips complete pieces, and writes every completion marker.

runner = Runner(ctx, build_pipeline(ctx.config))
runner.result("student")     # runs what is missing of `student` and of the stages that it needs
runner.plan()                # says for each stage: done, or to do and why; runs nothing
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from xner_ray.errors import UserError
from xner_ray.pipeline.context import Context, NotAvailableOffline
from xner_ray.pipeline.stage import Inputs, Stage

MAX_CHANGES, MAX_WIDTH = 3, 160  # lines below one key, and characters of a line, in the log


@dataclass(frozen=True)
class StagePlan:
    """What a stage would do.

    Attributes:
        stage: its name.
        description: what it does with this config.
        done, total: pieces; `total` is None if they are not known yet.
        reasons: why it has something to do, one line each.
        error: what makes it impossible.
    """

    stage: str
    description: str
    done: int = 0
    total: int | None = None
    reasons: list[str] = field(default_factory=list)
    error: UserError | None = None

    @property
    def is_done(self) -> bool:
        return self.error is None and self.done == self.total


class Runner:
    """Runs stages over one context. The result of a stage is made once.

    Args:
        ctx: config, output directory and executor.
        stages: in an order in which each stage comes after those that it needs.
    """

    def __init__(self, ctx: Context, stages: Sequence[Stage]):
        self.ctx = ctx
        self.stages = {stage.name: stage for stage in stages}
        self._results: dict[str, Any] = {}

    def result(self, name: str) -> Any:
        """The result of a stage; what is missing of it, and of the stages that it needs, is run.

        Raises:
            UserError: the stage is unknown, or something in the input is wrong.
        """
        if name not in self.stages:
            raise UserError(f"`{name}` is not a stage", remedy=f"one of {', '.join(self.stages)}")
        if name not in self._results:
            stage = self.stages[name]
            inputs = {need: self.result(need) for need in stage.needs if need in self.stages}
            with timed(self.ctx, name):
                self._results[name] = complete(self.ctx, stage, inputs)
        return self._results[name]

    def run(self, names: Sequence[str]) -> dict[str, Any]:
        """The results of several stages, by name, in the order of the pipeline."""
        unknown = [name for name in names if name not in self.stages]
        return {name: self.result(name) for name in [*self.stages, *unknown] if name in names}

    def plan(self) -> list[StagePlan]:
        """What each stage would do; nothing is run or written."""
        plans: list[StagePlan] = []
        results: dict[str, Any] = {}
        for stage in self.stages.values():
            plans.append(self._plan(stage, results))
        return plans

    def _plan(self, stage: Stage, results: dict[str, Any]) -> StagePlan:
        text = stage.describe(self.ctx.config)
        if missing := [need for need in stage.needs if need in self.stages and need not in results]:
            return StagePlan(stage.name, text, reasons=[f"needs {', '.join(missing)}"])
        inputs = {need: results[need] for need in stage.needs if need in results}
        try:
            dirs = stage.directories(self.ctx, inputs)
            reasons, done = [], 0
            for piece in dirs:
                problem = stage.problem(self.ctx, piece)
                done += problem is None
                if problem is not None:
                    changes = brief(piece.dir.changes())
                    prefix = f"{piece.key}: " if piece.key else ""
                    reasons += [prefix + line for line in changes or [problem]]
            if done == len(dirs):
                results[stage.name] = stage.result(self.ctx, inputs, {p.key: p.dir for p in dirs})
            return StagePlan(stage.name, text, done, len(dirs), reasons)
        except NotAvailableOffline as e:
            return StagePlan(stage.name, text, reasons=[str(e)])
        except UserError as e:
            return StagePlan(stage.name, text, error=e)


def complete(ctx: Context, stage: Stage, inputs: Inputs) -> Any:
    """Run what is missing of one stage, and return its result.

    Args:
        ctx: the run.
        stage: the stage.
        inputs: results of the stages that it needs, by name.
    """
    dirs = stage.directories(ctx, inputs)
    todo = [piece for piece in dirs if stage.problem(ctx, piece) is not None]
    for piece in todo:
        for line in brief(piece.dir.changes()):
            ctx.log(f"[{stage.name}] changed: {line}")
        for line in piece.dir.discard_damaged():
            ctx.log(f"[{stage.name}] damaged: {line}; it is made again")
    for piece in dirs:
        piece.dir.create()
    if todo:
        stage.run(ctx, inputs, todo)
        for piece in todo:
            if not piece.dir.is_complete(piece.piece.items):
                piece.commit()
    return stage.result(ctx, inputs, {piece.key: piece.dir for piece in dirs})


@contextmanager
def timed(ctx: Context, name: str) -> Iterator[None]:
    """Add the seconds inside to `ctx.seconds[name]`."""
    began = time.monotonic()
    try:
        yield
    finally:
        ctx.seconds[name] = round(ctx.seconds.get(name, 0.0) + time.monotonic() - began, 1)


def brief(changes: Sequence[str]) -> list[str]:
    """Lines of `describe_change`, shortened for the log: many lines below one key become one, and long lines are cut."""
    groups: dict[str, list[str]] = {}
    for line in changes:
        groups.setdefault(line.split(":")[0].split(".")[0], []).append(line)
    return [
        line if len(line) <= MAX_WIDTH else f"{line[:MAX_WIDTH]}... (whole in parts.json)"
        for key, lines in groups.items()
        for line in (lines if len(lines) <= MAX_CHANGES else [f"{key}: {len(lines)} differences"])
    ]
