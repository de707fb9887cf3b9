"""Progress lines of workers on the driver's screen: workers append to a shared file, and the driver prints what is appended."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

_POLL_SECONDS = 0.5


def append_line(path: Path, line: str) -> None:
    """Append a progress line. Workers do not print: Ray adds a prefix to what they print."""
    with path.open("a", encoding="utf-8") as file:
        file.write(line + "\n")


@contextlib.contextmanager
def follow_log(path: Path, log: Callable[[str], None]) -> Iterator[None]:
    """Pass each line that is appended to a file to `log`, from a thread, until the block ends."""
    stop = threading.Event()

    def follow() -> None:
        with path.open(encoding="utf-8") as file:
            while True:
                last_pass = stop.is_set()
                for line in file:
                    log(line.rstrip("\n"))
                if last_pass:
                    return
                stop.wait(_POLL_SECONDS)

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
