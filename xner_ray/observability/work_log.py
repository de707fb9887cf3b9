"""What a run really did, with its seconds: a line of JSON for each piece of work, so that the report can tell throughput.

A run that skips a stage takes no time for it, so the seconds of one run say little of a stage; these lines stay. Of work
that is killed half-way only the part is told that the next run still had to do.
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
def worked(out: Path, stage: str, of: str, **amount: int) -> Iterator[dict[str, int]]:
    """Write down the work done inside.

    Args:
        of: the name of the folder that the work is for.
        amount: what is done, by unit (pairs=8000); also what the caller adds to the yielded dict.
    """
    began = time.monotonic()
    yield amount
    row = {"stage": stage, "of": of, "seconds": round(time.monotonic() - began, 2), "amount": amount}
    with (out / FILE).open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


def read_work(out: Path) -> list[dict[str, Any]]:
    """All lines: `stage`, `of`, `seconds`, `amount`; none where no work was written down."""
    file = out / FILE
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.exists() else []
