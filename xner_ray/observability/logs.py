"""Logs as plain lines, or with XNER_LOG=json as one JSON object per line with run, stage and shard as fields.

The driver logs through one function, see `run_logger`. Workers log through `logging`, into the files that Ray keeps of each
actor. Both write the same two formats, so a log collector finds the same fields everywhere. Ray's own JSON logging
(`ray.LoggingConfig`) is not used, because it knows actors but no shards.
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
from xner_ray.observability.safe_text import escape_controls, redact, safe_text

VARIABLE = "XNER_LOG"
FORMATS = ("lines", "json")
Log = Callable[[str], None]

_STAGE = re.compile(r"\[([^\]]+)\] ")  # how the driver's lines begin
_FIELDS: ContextVar[dict[str, Any]] = ContextVar("xner_log_fields", default={})  # noqa: B039  # replaced, never changed


def log_format() -> str:
    """The format that XNER_LOG names.

    Raises:
        UserError: it is not one of FORMATS.
    """
    name = os.environ.get(VARIABLE) or FORMATS[0]
    if name not in FORMATS:
        raise UserError(
            f"unknown log format `{name}`", key=VARIABLE, remedy=f"use one of {', '.join(FORMATS)}, or unset it"
        )
    return name


@contextmanager
def log_fields(**fields: Any) -> Iterator[None]:
    """Add fields (run, stage, shard, or measurements) to all that is logged inside the block."""
    token = _FIELDS.set({**_FIELDS.get(), **fields})
    try:
        yield
    finally:
        _FIELDS.reset(token)


def json_line(level: str, message: str, **fields: Any) -> str:
    """A log record as a JSON object: time (UTC), level, the fields of `log_fields`, the given fields, and the message."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    record = {"time": now, "level": level, **_FIELDS.get(), **fields, "message": message}
    safe = {name: redact(value) if isinstance(value, str) else value for name, value in record.items()}
    return escape_controls(json.dumps(safe, ensure_ascii=False, default=str))


class JsonFormatter(logging.Formatter):
    """Formats a record as `json_line`; a traceback becomes the field `traceback`."""

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, Any] = {"logger": record.name}
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        return json_line(record.levelname.lower(), record.getMessage(), **fields)


class PlainFormatter(logging.Formatter):
    """Formats a record as `time level [stage] shard: message`."""

    def format(self, record: logging.LogRecord) -> str:
        fields = _FIELDS.get()
        stage = f"[{fields['stage']}] " if "stage" in fields else ""
        shard = f"{fields['shard']}: " if "shard" in fields else ""
        text = f"{self.formatTime(record)} {record.levelname} {stage}{shard}{record.getMessage()}"
        return safe_text(f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text)


def run_logger(run: str) -> Log:
    """The log function of a run's driver.

    It prints each line to standard output, plain or as JSON. In JSON a leading `[stage]` becomes the field `stage`.

    Args:
        run: the run's name, a field of each JSON object.

    Raises:
        UserError: XNER_LOG names an unknown format.
    """
    if log_format() == "lines":
        return lambda line: print(safe_text(line), flush=True)  # noqa: T201
    log_to_stderr("json")

    def log(line: str) -> None:
        stage = _STAGE.match(line)
        fields = {"run": run, **({"stage": stage[1]} if stage else {})}
        print(json_line("info", line[stage.end() :] if stage else line, **fields), flush=True)  # noqa: T201

    return log


def log_to_stderr(format: str) -> None:
    """Send this package's log records, from INFO on, to standard error. A second call in a process does nothing."""
    logger = logging.getLogger("xner_ray")
    if not any(isinstance(h.formatter, JsonFormatter | PlainFormatter) for h in logger.handlers):
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(JsonFormatter() if format == "json" else PlainFormatter())
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        logger.propagate = False  # Ray's root logger would print the record a second time
