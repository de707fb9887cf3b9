"""Runs a shard function in a child process, which can die without its parent.

The parent starts `python -m xner_ray.labeling.isolation.subprocess_worker FD`. Through the pipe FD it sends the class of the
function with its arguments, and then one table after another. The child sends back a column for each table.

The child ends with its parent. Its standard input is a pipe that carries no data. When this pipe ends, the parent is dead.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from xner_ray.encoders.device_errors import is_device_lost, is_memory_exhausted
from xner_ray.errors import UserError
from xner_ray.labeling.isolation.deadline import Deadline, count_tokens

log = logging.getLogger(__name__)

MAX_REASON_CHARS = 160
EXIT_SECONDS = 60.0  # for the end of a killed process


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
        hung: the child gave no answer before its deadline, and was killed.
    """

    reason: str
    died: bool
    hung: bool = False


class ChildStartError(RuntimeError):
    """A child process died or hung while it started, or its device had no memory for the models."""


class SubprocessWorker:
    """One child process that runs a shard function. A child that dies or hangs is replaced.

    Args:
        function: class of the function. It is pickled by reference, so the child must be able to import it.
        *arguments: arguments of its constructor, pickled.
        deadline: of a table and of the start of the child.
        start: start the child now; False: `restart` does it.

    Raises:
        UserError: the constructor raised it. `run` can raise it too, when it replaces a child.
        ChildStartError: the child died or hung while it started, or its device had no memory for the models.
        RuntimeError: the constructor raised another error.
    """

    def __init__(
        self,
        function: Callable[..., ShardFunction],
        *arguments: Any,
        deadline: Deadline | None = None,
        start: bool = True,
    ):
        self.function, self.arguments = function, arguments
        self.deadline = deadline or Deadline()
        self._environment: dict[str, str] = {}
        self._has_child = False
        if start:
            self._start()

    def run(self, table: pa.Table, language: str) -> Done | Failed:
        """Run the function over one table.

        Raises:
            UserError: the function raised it.
        """
        tokens, started = count_tokens(table), time.monotonic()
        seconds = self.deadline.seconds(tokens)
        kind, *answer = self._exchange((table, language), seconds)
        if kind == "hung":
            self._start()
            return Failed(f"gave no answer in {seconds:.0f} seconds", died=True, hung=True)
        if kind == "died":
            self._start()
            return Failed(answer[0], died=True)
        self.deadline.observe(tokens, time.monotonic() - started)
        if kind == "user_error":
            raise answer[0]
        return Done(*answer) if kind == "done" else Failed(answer[0], died=False)

    def restart(self, environment: Mapping[str, str] | None = None) -> None:
        """Replace the child, if there is one.

        Args:
            environment: variables that differ from those of this process, such as those of another GPU; None: none differs.
        """
        self.close()
        self._environment = dict(environment or {})
        self._start()

    def close(self) -> None:
        """Kill the child, if there is one."""
        if self._has_child:
            self._process.kill()
            self._reap()

    def _start(self) -> None:
        self._pipe, child_end = Pipe()
        command = [sys.executable, "-P", "-m", __name__, str(child_end.fileno())]
        # The child imports the same modules as this process, whatever is in the working directory (-P) or installed.
        paths = [str(Path(__file__).parents[3]), *(p or os.getcwd() for p in sys.path)]
        env = {**os.environ, **self._environment, "PYTHONPATH": os.pathsep.join(paths)}
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=[child_end.fileno()], env=env)
        self._has_child = True
        child_end.close()
        kind, *answer = self._exchange((self.function, self.arguments), self.deadline.start_seconds)
        if kind == "hung":
            raise ChildStartError(f"{self._name} did not start in {self.deadline.start_seconds:.0f} seconds")
        if kind == "died":
            raise ChildStartError(f"{self._name} {answer[0]} while it started")
        if kind == "ready":
            return
        self.close()
        if kind == "user_error":
            raise answer[0]
        is_device_error = kind == "lost" or is_memory_exhausted(answer[0])
        raise (ChildStartError if is_device_error else RuntimeError)(f"{self._name} could not start: {answer[0]}")

    def _exchange(self, message: tuple[Any, ...], seconds: float) -> tuple[Any, ...]:
        """The child's answer; ("died", how) or ("hung",) if there is none, and then the child is gone."""
        answer: tuple[Any, ...] | None = None
        with self._killed_after(seconds) as killed, contextlib.suppress(EOFError, OSError):
            self._pipe.send(message)
            answer = self._pipe.recv()
        if answer is not None and not killed.is_set():
            return answer
        how = self._reap()
        return ("hung",) if killed.is_set() else ("died", how)

    @contextlib.contextmanager
    def _killed_after(self, seconds: float) -> Iterator[threading.Event]:
        """Kill the child if the block takes longer. Yields an event, which says whether it was killed."""
        killed = threading.Event()

        def kill() -> None:
            killed.set()
            self._process.kill()
            with socket.socket(fileno=os.dup(self._pipe.fileno())) as pipe:
                pipe.shutdown(socket.SHUT_RDWR)  # wakes the block, which waits for the pipe

        timer = threading.Timer(seconds, kill)
        timer.daemon = True
        timer.start()
        try:
            yield killed
        finally:
            timer.cancel()
            timer.join()

    @property
    def _name(self) -> str:
        return getattr(self.function, "__qualname__", repr(self.function))

    def _reap(self) -> str:
        """Wait for the dead child; returns how it ended."""
        self._pipe.close()
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            code = self._process.wait(EXIT_SECONDS)
        except subprocess.TimeoutExpired:
            log.warning("process %d was killed and does not end; its GPU may stay busy", self._process.pid)
            return "does not end"
        with contextlib.suppress(ValueError):
            return f"killed its process ({signal.Signals(-code).name})"
        return f"ended its process (exit code {code})"


def _exit_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


def _call(function: Callable[..., Any], *arguments: Any) -> tuple[Any, ...]:
    """Returns ("done", result), ("user_error", error), ("raised", text), or ("lost", text) if the GPU cannot be used again."""
    try:
        return "done", function(*arguments)
    except UserError as e:
        return "user_error", e
    except Exception as e:
        first_line = (str(e).splitlines() or [""])[0]
        kind = "lost" if is_device_lost(str(e)) else "raised"
        return kind, f"{type(e).__name__}: {first_line}"[:MAX_REASON_CHARS]


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
            if answer[0] == "lost":
                log.error("%s", answer[1])
                os.abort()
            pipe.send(("done", *answer[1]) if answer[0] == "done" else answer)


if __name__ == "__main__":
    main()
