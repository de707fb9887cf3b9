"""Runs stages in the order of their needs, skips complete pieces, and writes the completion markers.

runner = Runner(ctx, build_pipeline(ctx.config))
runner.result("student")     # runs the missing pieces of `student` and of the stages that it needs
runner.plan()                # for each stage: whether it is done, or the reasons to run it; runs nothing
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

MAX_CHANGES, MAX_WIDTH = 3, 160  # limits of the log: lines for one key, characters of a line


@dataclass(frozen=True)
class StagePlan:
    """The plan of a stage.

    Attributes:
        stage: name of the stage.
        description: one line on what it does with this config.
        done, total: number of complete pieces, and of all pieces; `total` is None if it is not known yet.
        reasons: the reasons to run the stage, one line each.
        error: an error that prevents the stage from running.
        parts_done: sum of the parts of incomplete pieces that are done, each 0 to 1.
        is_unknown: the stage has results, and it is not known whether they are those of this run.
    """

    stage: str
    description: str
    done: int = 0
    total: int | None = None
    reasons: list[str] = field(default_factory=list)
    error: UserError | None = None
    parts_done: float = 0.0
    is_unknown: bool = False

    @property
    def is_done(self) -> bool:
        return self.error is None and self.done == self.total

    @property
    def share_to_do(self) -> float | None:
        """The part of the stage that is to do, 0 to 1; None: it is not known."""
        if self.is_unknown:
            return None
        return 0.0 if self.is_done else 1 - (self.done + self.parts_done) / self.total if self.total else 1.0


class Runner:
    """Runs stages in one context. Each stage runs at most once.

    Args:
        ctx: config, output directory and executor.
        stages: the stages. Each one comes after the stages that it needs.
    """

    def __init__(self, ctx: Context, stages: Sequence[Stage]):
        self.ctx = ctx
        self.stages = {stage.name: stage for stage in stages}
        self._results: dict[str, Any] = {}

    def has_result(self, name: str) -> bool:
        """Whether `result` of this stage runs nothing."""
        return name in self._results

    def result(self, name: str) -> Any:
        """Run the missing pieces of a stage and of the stages that it needs, and return the result of the stage.

        Raises:
            UserError: the stage is unknown, or an input is wrong.
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
        """Return the results of several stages by name, in the order of the pipeline."""
        unknown = [name for name in names if name not in self.stages]
        return {name: self.result(name) for name in [*self.stages, *unknown] if name in names}

    def plan(self) -> list[StagePlan]:
        """Return the plan of each stage. Nothing is run or written."""
        plans: list[StagePlan] = []
        results: dict[str, Any] = {}
        for stage in self.stages.values():
            plans.append(self._plan(stage, results))
        return plans

    def _plan(self, stage: Stage, results: dict[str, Any]) -> StagePlan:
        text = stage.describe(self.ctx.config)
        has_results = (self.ctx.out / stage.name).is_dir()
        if missing := [need for need in stage.needs if need in self.stages and need not in results]:
            return StagePlan(stage.name, text, reasons=[f"needs {', '.join(missing)}"], is_unknown=has_results)
        inputs = {need: results[need] for need in stage.needs if need in results}
        try:
            dirs = stage.directories(self.ctx, inputs)
            reasons, done, parts_done, is_unknown = [], 0, 0.0, False
            for piece in dirs:
                problem = stage.problem(self.ctx, piece)
                done += problem is None
                if problem is not None:
                    changes = brief(piece.dir.changes())
                    prefix = f"{piece.key}: " if piece.key else ""
                    reasons += [prefix + line for line in changes or [problem]]
                    part = stage.part_done(self.ctx, piece)
                    parts_done, is_unknown = parts_done + (part or 0.0), is_unknown or part is None
            if done == len(dirs):
                results[stage.name] = stage.result(self.ctx, inputs, {p.key: p.dir for p in dirs})
            return StagePlan(stage.name, text, done, len(dirs), reasons, parts_done=parts_done, is_unknown=is_unknown)
        except NotAvailableOffline as e:
            return StagePlan(stage.name, text, reasons=[str(e)], is_unknown=has_results)
        except UserError as e:
            return StagePlan(stage.name, text, error=e)


def complete(ctx: Context, stage: Stage, inputs: Inputs) -> Any:
    """Run the missing pieces of one stage, and return the result of the stage.

    Args:
        ctx: the context of the run.
        stage: the stage.
        inputs: results of the stages that it needs, by name.
    """
    dirs = stage.directories(ctx, inputs)
    todo = [piece for piece in dirs if stage.problem(ctx, piece) is not None]
    for piece in todo:
        for line in brief(piece.dir.changes()):
            ctx.log(f"[{stage.name}] changed: {line}")
        for line in piece.dir.discard_damaged(stage.sizes_only):
            ctx.log(f"[{stage.name}] damaged: {line}; it is made again")
    for piece in dirs:
        piece.dir.create()
    if todo:
        stage.run(ctx, inputs, todo)
        for piece in todo:
            if not piece.dir.is_complete(piece.piece.items, stage.sizes_only):
                piece.commit()
    return stage.result(ctx, inputs, {piece.key: piece.dir for piece in dirs})


@contextmanager
def timed(ctx: Context, name: str) -> Iterator[None]:
    """Add the duration of the block to `ctx.seconds[name]`."""
    began = time.monotonic()
    try:
        yield
    finally:
        ctx.seconds[name] = round(ctx.seconds.get(name, 0.0) + time.monotonic() - began, 1)


def brief(changes: Sequence[str]) -> list[str]:
    """Shorten lines of `describe_change` for the log: many lines of one key become one line, and long lines are truncated."""
    groups: dict[str, list[str]] = {}
    for line in changes:
        groups.setdefault(line.split(":")[0].split(".")[0], []).append(line)
    return [
        line if len(line) <= MAX_WIDTH else f"{line[:MAX_WIDTH]}... (whole in parts.json)"
        for key, lines in groups.items()
        for line in (lines if len(lines) <= MAX_CHANGES else [f"{key}: {len(lines)} differences"])
    ]
