"""Runs a shard function in a child process, which can die without its parent.

The parent starts `python -m xner_ray.labeling.isolation.subprocess_worker FD`. Through the pipe FD it sends the class of the
function with its arguments, and then one table after another. The child sends back a column for each table.

The child ends with its parent. Its standard input is a pipe that carries no data. When this pipe ends, the parent is dead.
"""

from __future__ import annotations

import contextlib
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

MAX_REASON_CHARS = 160
# After such an error the process can no longer use its GPU, so that every later row would fail too.
_LOST_DEVICE = ("CUDA error", "device-side assert", "CUBLAS_STATUS", "cudaErrorLaunchFailure")


class ShardFunction(Protocol):
    """A function over tables that a child process runs. The child constructs it once and then calls it for each table."""

    def __call__(self, table: pa.Table, language: str) -> tuple[pa.Array, dict[str, Any]]:
        """Compute one column.

        Args:
            table: rows of one shard.
            language: target language of the shard.

        Returns:
            One value for each row, and notes for the manifest of the shard.
        """
        ...


@dataclass(frozen=True)
class Done:
    """The return value of a function."""

    column: pa.Array
    notes: dict[str, Any]


@dataclass(frozen=True)
class Failed:
    """A function failed.

    Attributes:
        reason: one line of text.
        died: True if the child process died; False if the function raised an error.
    """

    reason: str
    died: bool


class SubprocessWorker:
    """One child process that runs a shard function. A child that dies is replaced.

    Args:
        function: class of the function. It is pickled by reference, so the child must be able to import it.
        *arguments: arguments of its constructor, pickled.

    Raises:
        UserError: the constructor raised it. `run` can raise it too, when it replaces a child.
        RuntimeError: the constructor raised another error, or the child died while it started.
    """

    def __init__(self, function: Callable[..., ShardFunction], *arguments: Any):
        self.function, self.arguments = function, arguments
        self._start()

    def run(self, table: pa.Table, language: str) -> Done | Failed:
        """Run the function over one table.

        Raises:
            UserError: the function raised it.
        """
        try:
            self._pipe.send((table, language))
            kind, *answer = self._pipe.recv()
        except (EOFError, OSError):
            reason = self._reap()
            self._start()
            return Failed(reason, died=True)
        if kind == "user_error":
            raise answer[0]
        return Done(*answer) if kind == "done" else Failed(answer[0], died=False)

    def close(self) -> None:
        """Kill the child."""
        self._pipe.close()
        self._process.kill()
        self._process.wait()

    def _start(self) -> None:
        self._pipe, child_end = Pipe()
        command = [sys.executable, "-P", "-m", __name__, str(child_end.fileno())]
        # The child imports the same modules as this process, whatever is in the working directory (-P) or installed.
        paths = [str(Path(__file__).parents[3]), *(p or os.getcwd() for p in sys.path)]
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=[child_end.fileno()], env=env)
        child_end.close()
        try:
            self._pipe.send((self.function, self.arguments))
            kind, *answer = self._pipe.recv()
        except (EOFError, OSError):
            raise RuntimeError(f"{self._name} {self._reap()} while it started") from None
        if kind == "user_error":
            raise answer[0]
        if kind != "ready":
            raise RuntimeError(f"{self._name} could not start: {answer[0]}")

    @property
    def _name(self) -> str:
        return getattr(self.function, "__qualname__", repr(self.function))

    def _reap(self) -> str:
        """Wait for the dead child; returns how it ended."""
        self._pipe.close()
        code = self._process.wait()
        with contextlib.suppress(ValueError):
            return f"killed its process ({signal.Signals(-code).name})"
        return f"ended its process (exit code {code})"


def _exit_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


def _call(function: Callable[..., Any], *arguments: Any) -> tuple[Any, ...]:
    """Returns ("done", result), ("user_error", error) or ("raised", text)."""
    try:
        return "done", function(*arguments)
    except UserError as e:
        return "user_error", e
    except Exception as e:
        if any(text in str(e) for text in _LOST_DEVICE):
            os.abort()
        first_line = (str(e).splitlines() or [""])[0]
        return "raised", f"{type(e).__name__}: {first_line}"[:MAX_REASON_CHARS]


def _construct(pipe: Connection) -> ShardFunction:
    function, arguments = pipe.recv()
    return function(*arguments)


def main() -> None:
    """Run the child process."""
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    pipe = Connection(int(sys.argv[1]))
    with contextlib.suppress(EOFError, BrokenPipeError):
        kind, function = _call(_construct, pipe)
        pipe.send(("ready",) if kind == "done" else (kind, function))
        while kind == "done":
            answer = _call(function, *pipe.recv())
            pipe.send(("done", *answer[1]) if answer[0] == "done" else answer)


if __name__ == "__main__":
    main()
