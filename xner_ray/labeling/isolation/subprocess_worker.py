"""A process of its own for code that may die: tables go in, tables come out, and its end is seen and told.

    python -m xner_ray.labeling.isolation.subprocess_worker FD module:Class '{"settings": ...}'     is the other side

The child ends with its parent: its standard input is a pipe that nobody writes to, whose end means that the parent is gone.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from xner_ray.errors import UserError

REASON_CHARS = 160
# After such an error the process can use its GPU no more, so that every row after it would raise too.
_LOST_DEVICE = ("CUDA error", "device-side assert", "CUBLAS_STATUS", "cudaErrorLaunchFailure")


class Work(Protocol):
    """What runs in a child: made once from its settings, then called for each table.

    Returns:
        A column with one value a row, and notes for the manifest.
    """

    def __call__(self, table: pa.Table, language: str) -> tuple[pa.Array, dict[str, Any]]: ...


@dataclass(frozen=True)
class Done:
    column: pa.Array
    notes: dict[str, Any]


@dataclass(frozen=True)
class Failed:
    """`died`: the process ended; otherwise it raised and lives on."""

    reason: str
    died: bool


class SubprocessWorker:
    """One child process, started again after each death.

    Args:
        work: `module:Class` of a Work, imported in the child.
        settings: keyword arguments of the class, as JSON.

    Raises:
        UserError: the class raised it, here or later. RuntimeError: it raised anything else, or died, while it started.
    """

    def __init__(self, work: str, settings: dict[str, Any]):
        self.work, self.settings = work, settings
        self._start()

    def run(self, table: pa.Table, language: str) -> Done | Failed:
        """Run a table; afterwards a child is there for the next one."""
        try:
            self._pipe.send((table, language))
            kind, *answer = self._pipe.recv()
        except (EOFError, OSError):
            reason = self._ended()
            self._start()
            return Failed(reason, died=True)
        if kind == "user":
            raise answer[0]
        return Done(*answer) if kind == "done" else Failed(answer[0], died=False)

    def close(self) -> None:
        self._pipe.close()
        self._process.kill()
        self._process.wait()

    def _start(self) -> None:
        self._pipe, theirs = Pipe()
        command = [sys.executable, "-P", "-m", __name__, str(theirs.fileno()), self.work, json.dumps(self.settings)]
        # The same modules as here, whatever lies in the working directory (-P) or is installed.
        paths = [str(Path(__file__).parents[2]), *(p or os.getcwd() for p in sys.path)]
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=[theirs.fileno()], env=env)
        theirs.close()
        try:
            kind, *answer = self._pipe.recv()
        except (EOFError, OSError):
            raise RuntimeError(f"{self.work} {self._ended()} while it started") from None
        if kind == "user":
            raise answer[0]
        if kind != "ready":
            raise RuntimeError(f"{self.work} could not start: {answer[0]}")

    def _ended(self) -> str:
        self._pipe.close()
        code = self._process.wait()
        with contextlib.suppress(ValueError):
            return f"killed its process ({signal.Signals(-code).name})"
        return f"ended its process (exit code {code})"


def named(work: str) -> Callable[..., Any]:
    """The class that `module:Class` names."""
    module, _, name = work.partition(":")
    return getattr(importlib.import_module(module), name)


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


def _try(act: Any, *args: Any) -> tuple[Any, ...]:
    """("done", result), ("user", error) or ("raised", text)."""
    try:
        return "done", act(*args)
    except UserError as e:
        return "user", e
    except Exception as e:
        if any(x in str(e) for x in _LOST_DEVICE):
            os.abort()
        first = (str(e).splitlines() or [""])[0]
        return "raised", f"{type(e).__name__}: {first}"[:REASON_CHARS]


def main() -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    pipe = Connection(int(sys.argv[1]))
    kind, work = _try(lambda: named(sys.argv[2])(**json.loads(sys.argv[3])))
    pipe.send(("ready",) if kind == "done" else (kind, work))
    with contextlib.suppress(EOFError, BrokenPipeError):
        while kind == "done":
            answer = _try(work, *pipe.recv())
            pipe.send(("done", *answer[1]) if answer[0] == "done" else answer)


if __name__ == "__main__":
    main()
