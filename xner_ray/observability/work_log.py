"""The work log: one line of JSON for each piece of work that a run did, with its seconds; the report's throughput comes from it.

A run skips stages that are done, so the seconds of one run say little about a stage. The lines of earlier runs stay in the log.
Work that was killed leaves no line; the next run logs the part that it still had to do.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

FILE = "work.jsonl"


class SharedTime:
    """Splits the time of work that is done at the same time, so that the seconds of all parts add up to the time that passed."""

    def __init__(self) -> None:
        self._lock, self._end = threading.Lock(), 0.0

    def since(self, started: float) -> float:
        """Seconds since `started` (`time.monotonic`) that no call before has counted."""
        with self._lock:
            begin, self._end = max(started, self._end), time.monotonic()
            return self._end - begin


@contextmanager
def log_work(
    out: Path, stage: str, folder: str, shared: SharedTime | None = None, **amount: int
) -> Iterator[dict[str, int]]:
    """Time the block and append a line to the work log. A block that raises is not logged.

    Args:
        out: the output folder of the run.
        stage: the stage's name.
        folder: the name of the folder that the work is for; the key `of` of the line.
        shared: of work at the same time. The readers add up the seconds of all lines of a stage.
        amount: how much work, by unit, such as `pairs=8000`.

    Yields:
        `amount`, to which the block may add.
    """
    started = time.monotonic()
    yield amount
    seconds = (shared or SharedTime()).since(started)
    row = {"stage": stage, "of": folder, "seconds": round(seconds, 2), "amount": amount}
    _append(out / FILE, json.dumps(row).encode() + b"\n")


def read_work(out: Path) -> list[dict[str, Any]]:
    """All lines of an output folder: `stage`, `of`, `seconds`, `amount`. Empty if there is no work log.

    A line that is damaged, such as the last one of a run that was killed, is skipped; see `count_damaged`.
    """
    return [asdict(row) for row in _rows(out) if row is not None]


def count_damaged(out: Path) -> int:
    """The number of lines that `read_work` skips."""
    return sum(row is None for row in _rows(out))


@dataclass(frozen=True)
class _Row:
    stage: str
    of: str
    seconds: float
    amount: dict[str, int]


_ROW = TypeAdapter(_Row)


def _rows(out: Path) -> Iterator[_Row | None]:
    """Each line; None for a damaged one."""
    file = out / FILE
    for line in file.read_bytes().split(b"\n") if file.exists() else ():
        if line.strip():
            try:
                yield _ROW.validate_json(line)
            except ValidationError:
                yield None


def _append(file: Path, line: bytes) -> None:
    """Append a line with one write. After a torn line it begins a new one."""
    with open(file, "ab+", buffering=0) as log:
        if log.tell():
            log.seek(-1, os.SEEK_END)
            line = line if log.read(1) == b"\n" else b"\n" + line
        log.write(line)
