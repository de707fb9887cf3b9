"""Runs the parts of a session, each in a process of its own with a time limit.

The processes are forked from one that has imported torch and has not used the device. So they start at once, and an error of
the device ends one part only. If the device does not work in a forked process, the parts are started as new processes.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

MAX_ERROR = 500  # characters


@dataclass(frozen=True)
class Session:
    """What all parts share.

    Attributes:
        encoder: Hugging Face folder of the embedded encoder, with the tokenizer of all models.
        pack: folder that `pack.py` wrote.
        work: folder for files.
        device: `cuda` or `cpu`.
        pairs: number of sentence pairs.
        rounds: repetitions of a measurement.
        small: tiny shapes and few pairs, for a test.
    """

    encoder: Path
    pack: Path
    work: Path
    device: str
    pairs: int
    rounds: int
    small: bool


class Recorder:
    """Sends measurements from the process of a part.

    Args:
        send: end of a pipe.
        deadline: `time.monotonic()` after which no measurement begins.
    """

    def __init__(self, send: Connection, deadline: float):
        self.send, self.deadline = send, deadline

    def measure(self, name: str, function: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Call a function and send its figures. An error is sent in their place, and the part goes on."""
        if time.monotonic() > self.deadline:
            value: dict[str, Any] = {"error": "not begun: the time of the part is over"}
        else:
            try:
                value = function()
            except Exception as e:
                value = {"error": _text(e)}
        self.send.send((name, value))
        return value


@dataclass(frozen=True)
class Part:
    """One part of a session.

    Attributes:
        name: key of the JSON.
        function: measures and records.
        seconds: its process is killed after this time.
    """

    name: str
    function: Callable[[Session, Recorder], None]
    seconds: float


def run_parts(parts: Sequence[Part], session: Session) -> dict[str, Any]:
    """Run the parts one after another. The first one shows whether the device works in a forked process.

    Returns:
        By name: `measurements`, `seconds`, `limit`, and `error` if the part did not reach its end.
    """
    results, method = {}, "fork"
    for part in parts:
        results[part.name] = run_part(part, session, method)
        if part is parts[0] and any("error" in value for value in results[part.name]["measurements"].values()):
            method = "spawn"
            results[part.name] = run_part(part, session, method)
        error = results[part.name].get("error", "")
        print(f"{part.name}: {results[part.name]['seconds']:.0f} of {part.seconds:.0f} s {error}", flush=True)
    return results


def run_part(part: Part, session: Session, method: str = "fork") -> dict[str, Any]:
    """Run one part in a process. Measurements that were sent before it is killed or dies are kept.

    Args:
        part: the part.
        session: its argument.
        method: how the process starts, `fork` or `spawn`.
    """
    context: Any = multiprocessing.get_context(method)
    receive, send = context.Pipe(duplex=False)
    began = time.monotonic()
    process = context.Process(target=_child, args=(part, session, send, began + part.seconds), daemon=True)
    process.start()
    send.close()
    measurements: dict[str, Any] = {}
    error = None
    while True:
        if not receive.poll(max(0.0, began + part.seconds - time.monotonic())):
            error = f"stopped at its limit of {part.seconds:.0f} s"
            process.kill()
            break
        try:
            name, value = receive.recv()
        except EOFError:
            break
        if name is None:
            error = value["error"]
        else:
            measurements[name] = value
    process.join(30)
    if process.exitcode and not error:
        error = f"its process ended with exit code {process.exitcode}"
    result = {"seconds": round(time.monotonic() - began, 1), "limit": part.seconds, "measurements": measurements}
    return result | ({"error": error} if error else {})


def _child(part: Part, session: Session, send: Connection, deadline: float) -> None:
    try:
        part.function(session, Recorder(send, deadline))
    except Exception as e:
        send.send((None, {"error": _text(e)}))


def _text(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:MAX_ERROR]
