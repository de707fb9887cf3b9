"""Logs: lines for people, or with XNER_LOG=json one JSON object a line, with run, stage and shard as fields of their own.

A run tells its story through one function, `say`; workers log through `logging`, into the files that Ray keeps of each actor.
Both end in the same two formats, so that a collector finds the same fields in all of them. It trades Ray's own JSON logging
(`ray.LoggingConfig`) for fields that are ours, since that one knows actors and no shards.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

from xner_ray.errors import UserError

VARIABLE = "XNER_LOG"
FORMS = ("lines", "json")
Log = Callable[[str], None]

_STAGE = re.compile(r"\[([^\]]+)\] ")  # what our lines begin with
_ABOUT: ContextVar[dict[str, Any]] = ContextVar("xner_about", default={})  # noqa: B039  # never changed, only replaced


def log_form() -> str:
    """What XNER_LOG asks for. Raises: UserError where it is none of FORMS."""
    form = os.environ.get(VARIABLE) or FORMS[0]
    if form not in FORMS:
        raise UserError(f"`{form}` is no form of logs", key=VARIABLE, remedy=f"one of {', '.join(FORMS)}, or nothing")
    return form


@contextmanager
def about(**fields: Any) -> Iterator[None]:
    """What is logged inside has these fields: run, stage, shard, or figures."""
    token = _ABOUT.set({**_ABOUT.get(), **fields})
    try:
        yield
    finally:
        _ABOUT.reset(token)


def json_line(level: str, message: str, **fields: Any) -> str:
    """One object: time (UTC), level, message, and the fields, beside those that `about` gave."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    told = {"time": now, "level": level, **_ABOUT.get(), **fields, "message": message}
    return json.dumps(told, ensure_ascii=False, default=str)


class JsonLines(logging.Formatter):
    """A record as `json_line`; a traceback is the field `traceback`."""

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, Any] = {"logger": record.name}
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        return json_line(record.levelname.lower(), record.getMessage(), **fields)


class PlainLines(logging.Formatter):
    """A record as `time level [stage] shard: message`."""

    def format(self, record: logging.LogRecord) -> str:
        known = _ABOUT.get()
        stage = f"[{known['stage']}] " if "stage" in known else ""
        shard = f"{known['shard']}: " if "shard" in known else ""
        text = f"{self.formatTime(record)} {record.levelname} {stage}{shard}{record.getMessage()}"
        return f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text


def teller(run: str) -> Log:
    """The `say` of a run: lines go to standard output, as they are or as JSON."""
    if log_form() == "lines":
        return lambda line: print(line, flush=True)  # noqa: T201
    log_to_stderr("json")

    def tell(line: str) -> None:
        stage = _STAGE.match(line)
        fields = {"run": run, **({"stage": stage[1]} if stage else {})}
        print(json_line("info", line[stage.end() :] if stage else line, **fields), flush=True)  # noqa: T201

    return tell


def log_to_stderr(form: str) -> None:
    """Send what this package logs, from INFO on, to standard error; once a process."""
    logger = logging.getLogger("xner_ray")
    if not any(isinstance(h.formatter, JsonLines | PlainLines) for h in logger.handlers):
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(JsonLines() if form == "json" else PlainLines())
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        logger.propagate = False  # Ray's root logger would print it again
