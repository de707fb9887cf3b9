"""Output of the commands: results on stdout, messages on stderr, and errors as one line with an exit code.

A UserError ends with exit code 2 and without a traceback, Ctrl-C with 130. Any other exception is a bug and keeps its traceback.
Heavy modules are imported late, so that `xner --help` answers fast.
"""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from xner_ray.errors import UserError
from xner_ray.observability import logs
from xner_ray.observability.safe_text import safe_text


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
        error = find_user_error(e)
        if error is None:
            raise
        echo(f"error: {error}", "red")
        raise SystemExit(2) from None


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
    from rich.console import Console
    from rich.text import Text

    Console(stderr=True, highlight=False).print(Text(safe_text(text), style=style or ""), soft_wrap=True)


def logs_json() -> bool:
    """Whether messages are JSON. The variable is not validated here, because its own error must be printed too."""
    return os.environ.get(logs.VARIABLE) == "json"


def show(result: Any) -> None:
    """Print a table or text to stdout. Control characters in it are escaped."""
    from rich.console import Console

    Console(highlight=False).print(_Safe(result), crop=False)


class _Safe:
    """Anything that rich prints, with the foreign text in it made safe."""

    def __init__(self, content: Any):
        self.content = content

    def __rich_console__(self, console: Any, options: Any) -> Iterator[Any]:
        from rich.segment import Segment

        for segment in console.render(self.content, options):
            yield segment if segment.control else Segment(safe_text(segment.text), segment.style)


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
