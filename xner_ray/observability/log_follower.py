"""Progress of workers on a driver's screen: they append lines to a file that all nodes see, and the driver reads it out."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path


def append(path: Path, line: str) -> None:
    """What a worker says; its own output is Ray's, and noisy."""
    with path.open("a", encoding="utf-8") as file:
        file.write(line + "\n")


@contextlib.contextmanager
def followed(path: Path, log: Callable[[str], None]) -> Iterator[None]:
    """Pass on the lines that appear in a file, from a thread, until the block ends."""
    stop = threading.Event()

    def follow() -> None:
        with path.open(encoding="utf-8") as file:
            while True:
                ending = stop.is_set()
                for line in file:
                    log(line.rstrip("\n"))
                if ending:
                    return
                stop.wait(0.5)

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
