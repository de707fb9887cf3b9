"""Interpretation of HTTP responses: the file that a response describes, and whether a retry can help."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

import requests
import urllib3

from xner_ray.errors import UserError

_RETRYABLE = {408, 425, 429, 500, 502, 503, 504}
_DESCRIPTIONS = {
    "NameResolutionError": "unknown host",
    "ReadTimeoutError": "no data in time",
    "ConnectTimeoutError": "no connection in time",
    "RemoteDisconnected": "the server closed the connection",
    "IncompleteRead": "fewer bytes than announced",
}


@dataclass(frozen=True)
class RemoteFile:
    """A file as its server describes it.

    Attributes:
        url: its address.
        size: bytes; None where the server does not announce them.
        etag: the ETag header, None where there is none.
        last_modified: the Last-Modified header, None where there is none.
    """

    url: str
    size: int | None = None
    etag: str | None = None
    last_modified: str | None = None

    @property
    def validator(self) -> str | None:
        """The value of If-Range. A weak ETag is not allowed there (RFC 9110, 13.1.5)."""
        return self.etag if self.etag and not self.etag.startswith("W/") else self.last_modified

    def may_equal(self, other: RemoteFile) -> bool:
        """Return whether sizes and ETags are equal where both are known."""
        pairs = (self.size, other.size), (self.etag, other.etag)
        return all(a is None or b is None or a == b for a, b in pairs)


class RetryableError(Exception):
    """A failure that another try may not meet.

    Args:
        problem: what failed.
        after: seconds to wait before the next try, where the server sets them.
    """

    def __init__(self, problem: str, after: float | None = None):
        super().__init__(problem)
        self.after = after


def remote_file(response: requests.Response, url: str) -> RemoteFile:
    """Return the complete file that a response or a partial response (206) belongs to."""
    length = response.headers.get("Content-Length", "")
    size = int(length) if length.isdigit() else None
    if response.status_code == 206:
        size = content_range(response)[1]
    return RemoteFile(url, size, response.headers.get("ETag"), response.headers.get("Last-Modified"))


def content_range(response: requests.Response) -> tuple[int | None, int | None]:
    """First byte and total length of a partial response; None where the header lacks them."""
    match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", "").strip())
    if not match:
        return None, None
    return int(match[1]), None if match[2] == "*" else int(match[2])


def check_status(response: requests.Response, url: str) -> None:
    """Raise for a status of 400 and above.

    Raises:
        RetryableError: a temporary failure.
        UserError: a failure that a retry does not change.
    """
    status = response.status_code
    if status in _RETRYABLE:
        raise RetryableError(f"HTTP {status} {response.reason}", _retry_after(response))
    if status >= 400:
        raise status_error(response, url)


def status_error(response: requests.Response, url: str) -> UserError:
    """Return the error for a response that a retry does not change."""
    status = response.status_code
    if status in (404, 410):
        remedy = "check version and base URL; `xner corpus list NAME --versions` shows what exists"
        return UserError(f"does not exist (HTTP {status})", file=url, remedy=remedy)
    remedy = "the server needs credentials; use another mirror" if status in (401, 403) else "use another mirror"
    return UserError(f"was refused: HTTP {status} {response.reason}", file=url, remedy=remedy)


def error_reason(error: BaseException) -> str:
    """Return a short description of the innermost exception that requests, urllib3 and the socket have wrapped."""
    while (inner := _inner(error)) is not None:
        error = inner
    return getattr(error, "strerror", None) or _DESCRIPTIONS.get(type(error).__name__) or type(error).__name__


def _inner(error: BaseException) -> BaseException | None:
    if isinstance(error, urllib3.exceptions.NameResolutionError):
        return None  # the exception inside it adds nothing
    candidates = (getattr(error, "reason", None), *error.args)
    return next((x for x in candidates if isinstance(x, BaseException)), None)


def _retry_after(response: requests.Response) -> float | None:
    """Seconds of the Retry-After header, which holds seconds or a date (RFC 9110, 10.2.3)."""
    value = response.headers.get("Retry-After", "").strip()
    if value.isdigit():
        return float(value)
    try:
        return max(parsedate_to_datetime(value).timestamp() - time.time(), 0.0) if value else None
    except (ValueError, TypeError):
        return None
