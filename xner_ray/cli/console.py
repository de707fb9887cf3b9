"""Output of the commands: results on stdout, messages on stderr, and errors as one line with an exit code.

A UserError ends with exit code 2 and without a traceback, Ctrl-C with 130. Any other exception is a bug and keeps its traceback.
Heavy modules are imported late, so that `xner --help` answers fast.

All output passes this module: text of corpora, archives and file names is never markup or a control sequence. What a stream
cannot encode is escaped in messages and JSON, and is an error in other data.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from xner_ray.errors import UserError
from xner_ray.observability import logs
from xner_ray.observability.safe_text import escape_controls, safe_text

# Names of errors of Ray after the death of its raylet, its head, or a node.
_DEAD_RAY = {
    "LocalRayletDiedError",
    "NodeDiedError",
    "RaySystemError",
    "RpcError",
    "WorkerCrashedError",
    "ActorUnavailableError",
    "OwnerDiedError",
    "OutOfMemoryError",
}


@contextlib.contextmanager
def report_user_errors(resumable: bool = False) -> Iterator[None]:
    """Turn a UserError and Ctrl-C into a line on stderr and an exit code.

    Args:
        resumable: the command skips finished work. The message after Ctrl-C then explains how to continue.

    Raises:
        SystemExit: 2 after a UserError, also after one from a Ray worker; 130 after Ctrl-C.
    """
    try:
        yield
    except KeyboardInterrupt:
        hint = "; run the same command again to continue" if resumable else ""
        echo(f"stopped{hint}", "yellow")
        raise SystemExit(130) from None
    except Exception as e:
        error = find_user_error(e) or _explain_dead_ray(e)
        if error is None:
            raise
        echo(f"error: {error}", "red")
        raise SystemExit(2) from None


def _explain_dead_ray(error: BaseException) -> UserError | None:
    """An error for the death of a process of Ray; None if the error is another one."""
    chain = [error, error.__cause__, getattr(error, "cause", None)]
    for e in chain:
        if type(e).__module__.startswith("ray.") and type(e).__name__ in _DEAD_RAY:
            reason = (str(e).strip().splitlines() or [type(e).__name__])[0]
            remedy = (
                "see raylet.out and gcs_server.out in /tmp/ray/session_latest/logs for the cause, often memory; then run"
                " the same command again: what is committed is kept"
            )
            return UserError(f"a process of Ray died: {type(e).__name__}: {reason}", remedy=remedy)
    return None


def find_user_error(error: BaseException | None) -> UserError | None:
    """The UserError inside an exception that Ray Data or Ray Train wrapped; None if there is none."""
    queue, seen = [error], set()
    while queue:
        e = queue.pop(0)
        if e is None or id(e) in seen:
            continue
        seen.add(id(e))
        # RayTaskError(UserError) is a UserError too. Its text is the remote traceback, and `cause` is the original.
        if isinstance(e, UserError) and not hasattr(e, "cause"):
            return e
        causes = [e.__cause__, *(getattr(e, name, None) for name in ("cause", "controller_failure", "_base_exc"))]
        causes += (getattr(e, "worker_failures", None) or {}).values()
        queue += [cause for cause in causes if isinstance(cause, BaseException)]
    return None


def echo(text: str, style: str | None = None) -> None:
    """Print a message to stderr, so that stdout holds results alone. With XNER_LOG=json it is a JSON object.

    Args:
        text: the message.
        style: rich style; red is an error and yellow a warning in JSON.
    """
    if logs_json():
        level = {"red": "error", "yellow": "warning"}.get(style or "", "info")
        print(logs.json_line(level, text), file=sys.stderr, flush=True)  # noqa: T201
        return
    from rich.text import Text

    from xner_ray.cli.safe_console import SafeConsole

    SafeConsole(stderr=True).print(Text(safe_text(text), style=style or ""), soft_wrap=True)


def logs_json() -> bool:
    """Whether messages are JSON. The variable is not validated here, because its own error must be printed too."""
    return os.environ.get(logs.VARIABLE) == "json"


def show(result: Any) -> None:
    """Print a table or text to stdout."""
    from xner_ray.cli.safe_console import SafeConsole

    SafeConsole().print(result, crop=False)


def show_line(text: str, stderr: bool = False) -> None:
    """Print a line of text without wrapping, e.g. of Markdown."""
    from rich.text import Text

    from xner_ray.cli.safe_console import SafeConsole

    SafeConsole(stderr=stderr).print(Text(text), soft_wrap=True)


def show_json(value: Any, indent: int | None = None) -> None:
    """Print JSON to stdout. Where stdout is not UTF-8, or the text holds surrogates, it is escaped as ASCII."""
    text = escape_controls(json.dumps(value, ensure_ascii=False, indent=indent))
    if not _is_encodable(text):
        text = json.dumps(value, indent=indent)
    sys.stdout.write(f"{text}\n")


def write_data(text: str) -> None:
    """Print a line of data to stdout as it is. On a terminal control characters are escaped.

    Raises:
        UserError: stdout has an encoding without a character of the text.
    """
    if sys.stdout.isatty():
        text = escape_controls(text)
    if not _is_encodable(text):
        problem = f"standard output has the encoding {sys.stdout.encoding}, which cannot hold all of the text"
        raise UserError(problem, remedy="set PYTHONIOENCODING=utf-8, or use --json")
    sys.stdout.write(f"{text}\n")


def _is_encodable(text: str) -> bool:
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


def escape_unencodable() -> None:
    """Let stdout and stderr escape what their encoding lacks, e.g. names in Chinese where stdout is latin-1."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def check_argument(text: str, key: str) -> None:
    """Check a text of the command line.

    Raises:
        UserError: it holds bytes that are not UTF-8.
    """
    if any("\ud800" <= c <= "\udfff" for c in text):
        raise UserError("is not UTF-8", key=key, remedy="convert it first, e.g. with iconv")


def print_traceback(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """The traceback of a bug on stderr, as `sys.excepthook`. Exceptions of libraries may quote a token."""
    sys.stderr.write(safe_text("".join(traceback.format_exception(kind, error, trace))))


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON file atomically.

    Raises:
        UserError: the folder is not writable.
    """
    from xner_ray.storage import atomic

    atomic.write_json(path.absolute(), content)
