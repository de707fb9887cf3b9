r"""Progress of a stage: a bar on a terminal; in a job's log a line every ten seconds.

The lines have one fixed form, so `grep '\[label\]'` over a log shows speed over time. With XNER_LOG=json their numbers are
fields. XNER_LOG_EVERY sets the seconds between lines; 0 logs a line for each shard.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any

from xner_ray.errors import UserError
from xner_ray.observability.logs import Log, log_fields, log_format

VARIABLE, DEFAULT_SECONDS = "XNER_LOG_EVERY", 10.0


class Progress:
    """Counts the finished shards and pairs of a stage and reports them. Use it as a context manager: the exit removes the bar.

    Args:
        log: receives the lines.
        stage: the stage's name, which begins each line.
        shards: number of shards to do.
        pairs: number of pairs in these shards.
        bar: whether to draw a bar. Default: if standard output is a terminal and the log format is `lines`.
    """

    def __init__(self, log: Log, stage: str, shards: int, pairs: int, bar: bool | None = None):
        self.log, self.stage, self.shards, self.pairs = log, stage, shards, pairs
        self.done = self.done_pairs = self.quarantined = 0
        self.interval, self.started = log_interval(), time.monotonic()
        self.last_logged = float("-inf")
        self.bar = _Bar(stage, pairs) if (_on_terminal() if bar is None else bar) else None

    def __enter__(self) -> Progress:
        if self.bar:
            self.bar.rich.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar:
            self.bar.rich.stop()
        if self.bar and self.done:
            self.log(self.line())  # the bar disappears, this line remains

    def advance(self, pairs: int, quarantined: int = 0) -> None:
        """Count one finished shard.

        Args:
            pairs: its pairs.
            quarantined: those of its pairs that were quarantined.
        """
        self.done, self.done_pairs = self.done + 1, self.done_pairs + pairs
        self.quarantined += quarantined
        if self.bar:
            self.bar.show(self.done_pairs, f"{self.done}/{self.shards} shards, {self.quarantined} quarantined")
        elif self.done == self.shards or time.monotonic() - self.last_logged >= self.interval:
            self.last_logged = time.monotonic()
            with log_fields(**self.fields()):
                self.log(self.line())

    def fields(self) -> dict[str, Any]:
        """Return the numbers of `line`, as fields of a JSON log."""
        rate = self.done_pairs / max(1e-3, time.monotonic() - self.started)
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
        """Return the progress line, with the stage in front."""
        fields = self.fields()
        left = "" if fields["minutes_left"] is None else f", {fields['minutes_left']} min left"
        return (
            f"[{self.stage}] {self.done}/{self.shards} shards, {self.done_pairs:,}/{self.pairs:,} pairs,"
            f" {self.quarantined} quarantined, {fields['pairs_per_second']:,.0f} pairs/s{left}"
        )


def log_interval() -> float:
    """Seconds between two lines, from XNER_LOG_EVERY.

    Raises:
        UserError: the value is not a number of seconds.
    """
    text = os.environ.get(VARIABLE) or str(DEFAULT_SECONDS)
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not seconds >= 0:
        raise UserError(f"`{text}` is not a number of seconds", key=VARIABLE, remedy="use 0 or more, or unset it")
    return seconds


def _on_terminal() -> bool:
    return sys.stdout.isatty() and log_format() == "lines"


class _Bar:
    """A rich progress bar. Lines that are printed meanwhile appear above it."""

    def __init__(self, stage: str, pairs: int):
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn(f"{stage}"), BarColumn(), MofNCompleteColumn(), TextColumn("pairs"), TimeRemainingColumn(),
            TextColumn("{task.fields[details]}"),
        )  # fmt: skip
        self.rich = Progress(*columns, console=Console(), transient=True)
        self.task = self.rich.add_task(stage, total=pairs, details="")

    def show(self, pairs: int, details: str) -> None:
        self.rich.update(self.task, completed=pairs, details=details)
