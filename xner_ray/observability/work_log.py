"""The work log: one line of JSON for each piece of work that a run did, with its seconds; the report's throughput comes from it.

A run skips stages that are done, so the seconds of one run say little about a stage. The lines of earlier runs stay in the log.
Work that was killed leaves no line; the next run logs the part that it still had to do.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

FILE = "work.jsonl"


@contextmanager
def log_work(out: Path, stage: str, folder: str, **amount: int) -> Iterator[dict[str, int]]:
    """Time the block and append a line to the work log. A block that raises is not logged.

    Args:
        out: the output folder of the run.
        stage: the stage's name.
        folder: the name of the folder that the work is for; the key `of` of the line.
        amount: how much work, by unit, such as `pairs=8000`.

    Yields:
        `amount`, to which the block may add.
    """
    started = time.monotonic()
    yield amount
    row = {"stage": stage, "of": folder, "seconds": round(time.monotonic() - started, 2), "amount": amount}
    with (out / FILE).open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


def read_work(out: Path) -> list[dict[str, Any]]:
    """All lines of an output folder: `stage`, `of`, `seconds`, `amount`. Empty if there is no work log."""
    file = out / FILE
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.exists() else []
