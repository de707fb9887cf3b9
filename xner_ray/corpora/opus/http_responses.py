"""What an HTTP answer means for a download: which file it is of, whether another try can help, and what to tell the user."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

import requests
import urllib3

from xner_ray.errors import UserError

_PASSING = {408, 425, 429, 500, 502, 503, 504}
_IN_WORDS = {
    "NameResolutionError": "the host is not known",
    "ReadTimeoutError": "silence",
    "ConnectTimeoutError": "no connection in time",
    "RemoteDisconnected": "hung up",
    "IncompleteRead": "fewer bytes than announced",
}


@dataclass(frozen=True)
class Remote:
    """What a server says about a file: its bytes, ETag and date, each None where it says nothing."""

    url: str
    size: int | None = None
    etag: str | None = None
    modified: str | None = None

    @property
    def validator(self) -> str | None:
        """What If-Range takes; a weak ETag will not do (RFC 9110, 13.1.5)."""
        return self.etag if self.etag and not self.etag.startswith("W/") else self.modified

    def may_be(self, other: Remote) -> bool:
        """Nothing that both tell speaks against their being the same file."""
        pairs = (self.size, other.size), (self.etag, other.etag)
        return all(a is None or b is None or a == b for a, b in pairs)


class RetryableError(Exception):
    """Worth another try, after `after` seconds where the server said so."""

    def __init__(self, problem: str, after: float | None = None):
        super().__init__(problem)
        self.after = after


def remote_of(answer: requests.Response, url: str) -> Remote:
    """The whole file that an answer, or a part of one, tells about."""
    length = answer.headers.get("Content-Length", "")
    size = int(length) if length.isdigit() else None
    if answer.status_code == 206:
        size = content_range(answer)[1]
    return Remote(url, size, answer.headers.get("ETag"), answer.headers.get("Last-Modified"))


def content_range(answer: requests.Response) -> tuple[int | None, int | None]:
    """First byte and total length of a partial answer, None where it does not say."""
    found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", answer.headers.get("Content-Range", "").strip())
    if not found:
        return None, None
    return int(found[1]), None if found[2] == "*" else int(found[2])


def check_status(answer: requests.Response, url: str) -> None:
    """Raises: Passing for what may be otherwise in a moment, UserError for what will not."""
    status = answer.status_code
    if status in _PASSING:
        raise RetryableError(f"the server answered {status} {answer.reason}", _retry_after(answer))
    if status >= 400:
        raise refused(answer, url)


def refused(answer: requests.Response, url: str) -> UserError:
    """The error for an answer that no other try will change."""
    status = answer.status_code
    if status in (404, 410):
        remedy = "check version and base URL; `xner corpus list NAME --versions` shows what there is"
        return UserError(f"is not there (HTTP {status})", file=url, remedy=remedy)
    remedy = "the server wants credentials; try another mirror" if status in (401, 403) else "try another mirror"
    return UserError(f"was refused: HTTP {status} {answer.reason}", file=url, remedy=remedy)


def reason(error: BaseException) -> str:
    """The innermost words of an exception that requests, urllib3 and the socket have wrapped."""
    while (inner := _inside(error)) is not None:
        error = inner
    return getattr(error, "strerror", None) or _IN_WORDS.get(type(error).__name__) or type(error).__name__


def _inside(error: BaseException) -> BaseException | None:
    if isinstance(error, urllib3.exceptions.NameResolutionError):
        return None  # its reason says no more
    candidates = (getattr(error, "reason", None), *error.args)
    return next((x for x in candidates if isinstance(x, BaseException)), None)


def _retry_after(answer: requests.Response) -> float | None:
    """Seconds, or until a date (RFC 9110, 10.2.3)."""
    value = answer.headers.get("Retry-After", "").strip()
    if value.isdigit():
        return float(value)
    try:
        return max(parsedate_to_datetime(value).timestamp() - time.time(), 0.0) if value else None
    except (ValueError, TypeError):
        return None
