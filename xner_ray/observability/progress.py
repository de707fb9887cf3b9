r"""How far a stage is: a bar where somebody watches a terminal, a line every ten seconds in a job's log.

The lines are the same for every reader, so that `grep '\[label\]'` over a log gives speed over time; with XNER_LOG=json their
figures are fields. XNER_LOG_EVERY gives other seconds between them, 0 a line for each shard.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any

from xner_ray.errors import UserError
from xner_ray.observability.logs import Log, about, log_form

VARIABLE, EVERY = "XNER_LOG_EVERY", 10.0


class Progress:
    """Shards and pairs of a stage while they are done; a context, because a bar has to be taken down.

    Args:
        say: where lines go.
        stage: what lines begin with.
        shards, pairs: all that are to be done.
        bar: draw one; default: where standard output is a terminal and logs are lines.
    """

    def __init__(self, log: Log, stage: str, shards: int, pairs: int, bar: bool | None = None):
        self.log, self.stage, self.shards, self.pairs = log, stage, shards, pairs
        self.done = self.done_pairs = self.quarantined = 0
        self.every, self.began = seconds_between(), time.monotonic()
        self.told = float("-inf")
        self.bar = _Bar(stage, pairs) if (_watched() if bar is None else bar) else None

    def __enter__(self) -> Progress:
        if self.bar:
            self.bar.rich.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar:
            self.bar.rich.stop()
        if self.bar and self.done:
            self.log(self.line())  # the bar leaves, this stays

    def advance(self, pairs: int, quarantined: int = 0) -> None:
        """One more shard is done."""
        self.done, self.done_pairs = self.done + 1, self.done_pairs + pairs
        self.quarantined += quarantined
        if self.bar:
            self.bar.show(self.done_pairs, f"{self.done}/{self.shards} shards, {self.quarantined} quarantined")
        elif self.done == self.shards or time.monotonic() - self.told >= self.every:
            self.told = time.monotonic()
            with about(**self.figures()):
                self.log(self.line())

    def figures(self) -> dict[str, Any]:
        """What the line says, for machines."""
        rate = self.done_pairs / max(1e-3, time.monotonic() - self.began)
        return {
            "shards": self.done,
            "shards_planned": self.shards,
            "pairs": self.done_pairs,
            "pairs_planned": self.pairs,
            "quarantined": self.quarantined,
            "pairs_per_second": round(rate, 1),
            "minutes_left": round((self.pairs - self.done_pairs) / rate / 60, 1) if rate else None,
        }

    def line(self) -> str:
        told = self.figures()
        left = "" if told["minutes_left"] is None else f", {told['minutes_left']} min left"
        return (
            f"[{self.stage}] {self.done}/{self.shards} shards, {self.done_pairs:,}/{self.pairs:,} pairs,"
            f" {self.quarantined} quarantined, {told['pairs_per_second']:,.0f} pairs/s{left}"
        )


def seconds_between() -> float:
    """What XNER_LOG_EVERY asks for. Raises: UserError where that is no number of seconds."""
    text = os.environ.get(VARIABLE) or str(EVERY)
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not seconds >= 0:
        raise UserError(f"`{text}` is no number of seconds", key=VARIABLE, remedy="give one from 0 on, or nothing")
    return seconds


def _watched() -> bool:
    return sys.stdout.isatty() and log_form() == "lines"


class _Bar:
    """A rich progress bar; lines printed meanwhile go above it."""

    def __init__(self, stage: str, pairs: int):
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn(f"{stage}"), BarColumn(), MofNCompleteColumn(), TextColumn("pairs"), TimeRemainingColumn(),
            TextColumn("{task.fields[more]}"),
        )  # fmt: skip
        self.rich = Progress(*columns, console=Console(), transient=True)
        self.task = self.rich.add_task(stage, total=pairs, more="")

    def show(self, pairs: int, more: str) -> None:
        self.rich.update(self.task, completed=pairs, more=more)
