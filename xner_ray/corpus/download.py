"""One file over HTTP, in as many answers as it takes.

Archives of gigabytes come over lines that break, so what has arrived stays in `NAME.part` and the next request asks for the
rest. It does so with If-Range: a server whose file is another one by now sends that one from the start, and two files are
never stitched together. Without a strong ETag or a date to tell them apart, a download begins anew; safe beats fast.

What may pass (resets, silence, short answers, 408, 429, 5xx) is tried again with growing pauses, and any byte of progress
starts the count anew; what will not pass (404, 403, a full disk) is a UserError at once, and the part stays.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import random
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import BinaryIO

import requests
import urllib3

from xner_ray.errors import UserError

CHUNK = 1 << 16
_PASSING = {408, 425, 429, 500, 502, 503, 504}
_HEADERS = {"Accept-Encoding": "identity"}  # bytes are counted, and must be the file's own


@dataclass(frozen=True)
class Patience:
    """Seconds to connect, seconds of silence, tries without any progress, first and longest pause between them."""

    connect: float = 10.0
    silence: float = 60.0
    tries: int = 6
    pause: float = 1.0
    longest: float = 60.0


@dataclass(frozen=True)
class Remote:
    """What a server says about a file: bytes, strong or weak ETag, and date, each None where it says nothing."""

    url: str
    size: int | None
    etag: str | None
    modified: str | None

    @property
    def validator(self) -> str | None:
        """For If-Range, which a weak ETag does not do for (RFC 9110, 13.1.5)."""
        return self.etag if self.etag and not self.etag.startswith("W/") else self.modified


class Watch:
    """Who looks on; the command line draws bars."""

    def at(self, done: int, total: int | None) -> None:
        """So many bytes are there, of so many."""

    def note(self, text: str) -> None:
        """Something went otherwise than planned, and what is done about it."""


class _Passing(Exception):
    """Worth another try, after `after` seconds where the server said so."""

    def __init__(self, problem: str, after: float | None = None):
        super().__init__(problem)
        self.after = after


class Http:
    """A session with its patience."""

    def __init__(self, patience: Patience | None = None):
        self.patience = patience or Patience()
        self._session = requests.Session()

    def __enter__(self) -> Http:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()

    def look(self, url: str, watch: Watch) -> Remote:
        """Size and ETag, without the file; nothing but the address where the server does not answer HEAD requests.

        Raises:
            UserError: there is no such file, or the server cannot be reached.
        """

        def once() -> Remote:
            with self._ask("HEAD", url, {}) as answer:
                if answer.status_code in (400, 403, 405, 501):  # signed addresses allow GET alone
                    return Remote(url, None, None, None)
                _check_status(answer, url)
                return _remote(answer, url)

        return self._try(once, url, watch, lambda: 0)

    def download(self, url: str, part: Path, watch: Watch) -> Remote:
        """Fill `part` with the file, from where an earlier download of the same file stopped.

        Returns:
            what the server said about the file whose bytes these are.

        Raises:
            UserError: not to be had, no room, another process is at it, or no progress in `patience.tries` tries. The part
                stays, but for bytes that belong to another file.
        """
        with _locked(part) as file:
            told = _Told.of(part)
            known = told.load(url)
            if known is None:
                file.truncate(0)
            elif known.size is not None and _length(file) == known.size:
                return known
            return self._try(lambda: self._rest(url, file, told, watch), url, watch, lambda: _length(file))

    def _rest(self, url: str, file: BinaryIO, told: _Told, watch: Watch) -> Remote:
        """One answer's worth of the file, appended."""
        known, at, headers = told.load(url), _length(file), {}
        if at and known and known.validator:
            headers = {"Range": f"bytes={at}-", "If-Range": known.validator}
        with self._ask("GET", url, headers) as answer:
            if answer.status_code == 416 and headers:
                file.truncate(0)
                raise _Passing("the server has fewer bytes than have arrived; it starts anew", after=0)
            _check_status(answer, url)
            remote = _remote(answer, url)
            if answer.status_code == 206 and headers:
                start, total = _content_range(answer)
                other = remote.etag and known and known.etag and remote.etag != known.etag
                if start != at or other or (known and known.size is not None and total not in (None, known.size)):
                    file.truncate(0)
                    raise _Passing("the rest is of another file; it starts anew", after=0)
                remote = known or remote
            elif answer.status_code == 200:
                if at:
                    watch.note("the file at the server is another one by now, or cannot be resumed; it starts anew")
                file.truncate(0)
                told.save(remote)
            else:
                raise _refused(answer, url)
            self._write(answer, file, remote, watch)
        return _complete(file, remote)

    def _write(self, answer: requests.Response, file: BinaryIO, remote: Remote, watch: Watch) -> None:
        file.seek(0, os.SEEK_END)
        done = file.tell()
        watch.at(done, remote.size)
        for chunk in _chunks(answer):
            try:
                file.write(chunk)
            except OSError as e:
                raise _no_room(e, file.name) from e
            done += len(chunk)
            watch.at(done, remote.size)

    @contextmanager
    def _ask(self, method: str, url: str, headers: dict[str, str]) -> Iterator[requests.Response]:
        times = (self.patience.connect, self.patience.silence)
        try:
            answer = self._session.request(
                method, url, headers=_HEADERS | headers, stream=True, timeout=times, allow_redirects=True
            )
        except (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema, requests.exceptions.MissingSchema) as e:
            raise UserError(f"is no HTTP address: {e}", file=url, remedy="check the base URL") from e
        except requests.RequestException as e:
            raise _Passing(f"no answer ({_reason(e)})") from e
        with answer:
            yield answer

    def _try[T](self, once: Callable[[], T], url: str, watch: Watch, progress: Callable[[], int]) -> T:
        failed = 0
        while True:
            before = progress()
            try:
                return once()
            except _Passing as e:
                failed = 0 if progress() > before else failed + 1
                if failed >= self.patience.tries:
                    remedy = "the same command goes on where this one stopped, once the server answers again"
                    raise UserError(f"{e}; given up after {failed} tries", file=url, remedy=remedy) from e
                pause = e.after if e.after is not None else self.patience.pause * 2 ** max(failed - 1, 0)
                pause = min(pause, self.patience.longest) * random.uniform(0.75, 1.0)  # not all clients at once
                watch.note(f"{e}; trying again in {pause:.0f} s")
                time.sleep(pause)


@dataclass(frozen=True)
class _Told:
    """What the server said about the file that a part belongs to, beside it."""

    path: Path

    @classmethod
    def of(cls, part: Path) -> _Told:
        return cls(part.with_name(part.name + ".json"))

    def load(self, url: str) -> Remote | None:
        """None when nothing is known, or about another address."""
        try:
            known = Remote(**json.loads(self.path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):  # a killed process leaves half a file: then the part is worth nothing
            return None
        return known if known.url == url else None

    def save(self, remote: Remote) -> None:
        try:
            self.path.write_text(json.dumps(asdict(remote)), encoding="utf-8")
        except OSError as e:
            raise _no_room(e, self.path) from e


@contextmanager
def _locked(part: Path) -> Iterator[BinaryIO]:
    """The part, opened to append, for this process alone; a lock that dies with its process."""
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        file = open(part, "ab", buffering=0)
    except OSError as e:
        raise _no_room(e, part) from e
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as e:
            if e.errno not in (errno.EAGAIN, errno.EACCES):
                raise
            raise UserError("another process is fetching it", file=part, remedy="wait for that one") from e
        if not part.exists() or os.fstat(file.fileno()).st_ino != part.stat().st_ino:
            raise UserError("another process has just fetched it", file=part, remedy="run the same command again")
        yield file


def _chunks(answer: requests.Response) -> Iterator[bytes]:
    """The body as it is sent: a server that calls a .gz file `Content-Encoding: gzip` does not change it."""
    try:
        yield from answer.raw.stream(CHUNK, decode_content=False)
    except (urllib3.exceptions.HTTPError, OSError) as e:
        raise _Passing(f"the answer broke off ({_reason(e)})") from e


def _complete(file: BinaryIO, remote: Remote) -> Remote:
    done = _length(file)
    if remote.size is not None and done > remote.size:
        file.truncate(0)
        raise _Passing(f"{done:,} bytes came instead of {remote.size:,}")
    if remote.size is not None and done < remote.size:
        raise _Passing(f"the answer ended after {done:,} of {remote.size:,} bytes")
    try:
        os.fsync(file.fileno())
    except OSError as e:
        raise _no_room(e, file.name) from e
    return remote


def _check_status(answer: requests.Response, url: str) -> None:
    status = answer.status_code
    if status in _PASSING:
        raise _Passing(f"the server answered {status} {answer.reason}", _retry_after(answer))
    if status >= 400:
        raise _refused(answer, url)


def _refused(answer: requests.Response, url: str) -> UserError:
    status = answer.status_code
    if status in (404, 410):
        return UserError(
            f"is not there (HTTP {status})",
            file=url,
            remedy="check version and base URL; `xner corpus list --versions` shows what there is",
        )
    remedy = "the server wants credentials; try another mirror" if status in (401, 403) else "try another mirror"
    return UserError(f"was refused: HTTP {status} {answer.reason}", file=url, remedy=remedy)


def _remote(answer: requests.Response, url: str) -> Remote:
    length = answer.headers.get("Content-Length")
    if answer.status_code == 206:
        size = _content_range(answer)[1]
    else:
        size = int(length) if length and length.isdigit() else None
    return Remote(url, size, answer.headers.get("ETag"), answer.headers.get("Last-Modified"))


def _content_range(answer: requests.Response) -> tuple[int | None, int | None]:
    """First byte and total length of a partial answer."""
    found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", answer.headers.get("Content-Range", "").strip())
    if not found:
        return None, None
    return int(found[1]), None if found[2] == "*" else int(found[2])


def _retry_after(answer: requests.Response) -> float | None:
    """Seconds, or until a date (RFC 9110, 10.2.3)."""
    value = answer.headers.get("Retry-After", "").strip()
    if value.isdigit():
        return float(value)
    try:
        return max(parsedate_to_datetime(value).timestamp() - time.time(), 0.0) if value else None
    except (ValueError, TypeError):
        return None


def _reason(error: BaseException) -> str:
    """The innermost words of an exception that three libraries have wrapped."""
    while (inner := getattr(error, "reason", None) or next((x for x in error.args if isinstance(x, BaseException)), None)) is not None:
        if not isinstance(inner, BaseException):
            break
        error = inner
    return re.sub(r"^.*?: ", "", str(error)) or type(error).__name__


def _length(file: BinaryIO) -> int:
    return os.fstat(file.fileno()).st_size


def _no_room(error: OSError, path: object) -> UserError:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    remedy = "make room, then run the same command again: it goes on where it stopped" if full else "choose another --out"
    return UserError("the disk is full" if full else f"cannot be written: {error}", file=path, remedy=remedy)
