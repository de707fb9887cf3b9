"""One file over HTTP, in as many answers as it takes.

Archives of gigabytes come over lines that break, so what has arrived stays in `NAME.part` and the next request asks for the
rest. It does so with If-Range: a server whose file is another one by now sends that one from the start, and two files are
never stitched together. Without a strong ETag or a date to tell them apart, a download begins anew; safe beats fast.

What may pass (resets, silence, short answers, 408, 429, 5xx) is tried again with growing pauses, and progress starts the
count anew; what will not pass (404, 403, a full disk) is a UserError at once, and the part stays.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO, TypeVar

import requests
import urllib3

from xner_ray.corpora.opus.http_responses import (
    Remote,
    RetryableError,
    check_status,
    content_range,
    reason,
    refused,
    remote_of,
)
from xner_ray.errors import UserError

T = TypeVar("T")
CHUNK = 1 << 16
_HEADERS = {"Accept-Encoding": "identity"}  # bytes are counted, and must be the file's own
_NO_HEAD = {400, 401, 403, 405, 501}  # signed addresses and simple servers allow GET alone


@dataclass(frozen=True)
class RetryPolicy:
    """Seconds to connect, seconds of silence, tries without any progress, first and longest pause between them."""

    connect: float = 10.0
    silence: float = 60.0
    tries: int = 6
    pause: float = 1.0
    longest: float = 60.0


class Watch:
    """Who looks on; the command line draws bars."""

    def begin(self, name: str, doing: str) -> None:
        """Another file, or another thing done to it."""

    def at(self, done: int, total: int | None) -> None:
        """So many bytes of it are done, of so many."""

    def note(self, text: str) -> None:
        """Something went otherwise than planned, and what is done about it."""


class Http:
    """A session with its patience."""

    def __init__(self, patience: RetryPolicy | None = None):
        self.patience = patience or RetryPolicy()
        self._session = requests.Session()

    def __enter__(self) -> Http:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()

    def look(self, url: str, watch: Watch) -> Remote:
        """Size and ETag, without the file; the bare address where the server does not answer HEAD requests.

        Raises:
            UserError: there is no such file, or the server cannot be reached.
        """

        def once() -> Remote:
            with self._ask("HEAD", url, {}) as answer:
                if answer.status_code in _NO_HEAD:
                    return Remote(url)
                check_status(answer, url)
                return remote_of(answer, url)

        return self._try(once, url, watch, lambda: 0)

    def download(self, url: str, part: Path, watch: Watch) -> Remote:
        """Fill `part` with the file, from where an earlier download of the same file stopped.

        Returns:
            what the server said about the file whose bytes these are.

        Raises:
            UserError: not to be had, no room, another process is at it, or `patience.tries` tries without progress. The
                part stays, but for bytes that belong to another file.
        """
        with _locked(part) as file:
            known = _known(part, url)
            if known is None:
                file.truncate(0)
            elif known.size is not None and _length(file) == known.size:
                return known
            return self._try(lambda: self._rest(url, part, file, watch), url, watch, lambda: _length(file))

    def _rest(self, url: str, part: Path, file: BinaryIO, watch: Watch) -> Remote:
        """Append one answer's worth of the file; the file is whole when this returns."""
        known, at, headers = _known(part, url), _length(file), {}
        if at and known and known.validator:
            headers = {"Range": f"bytes={at}-", "If-Range": known.validator}
        with self._ask("GET", url, headers) as answer:
            if answer.status_code == 416 and headers:
                file.truncate(0)
                raise RetryableError("fewer bytes are there than have arrived; it starts anew", after=0)
            check_status(answer, url)
            remote = remote_of(answer, url)
            if answer.status_code == 206 and headers and known:
                if content_range(answer)[0] != at or not remote.may_be(known):
                    file.truncate(0)
                    raise RetryableError("the rest is another file's; it starts anew", after=0)
                remote = known
            elif answer.status_code == 200:
                if at:
                    watch.note("the server has another file by now, or cannot resume this one; it starts anew")
                file.truncate(0)
                _remember(part, remote)
            else:
                raise refused(answer, url)
            _write(answer, file, remote, watch)
        return _whole(file, remote)

    @contextmanager
    def _ask(self, method: str, url: str, headers: dict[str, str]) -> Iterator[requests.Response]:
        times = (self.patience.connect, self.patience.silence)
        try:
            answer = self._session.request(
                method, url, headers=_HEADERS | headers, stream=True, timeout=times, allow_redirects=True
            )
        except (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema, requests.exceptions.MissingSchema):
            raise UserError("is no HTTP address", file=url, remedy="check the base URL") from None
        except requests.RequestException as e:
            raise RetryableError(f"no answer ({reason(e)})") from e
        with answer:
            yield answer

    def _try(self, once: Callable[[], T], url: str, watch: Watch, progress: Callable[[], int]) -> T:
        failed, most = 0, progress()
        while True:
            try:
                return once()
            except RetryableError as e:
                # More than ever: a server whose file is shorter than it says would else be asked for ever.
                failed = 0 if progress() > most else failed + 1
                most = max(most, progress())
                if failed >= self.patience.tries:
                    remedy = "run the same command again later; it goes on where this one stopped"
                    raise UserError(f"{e}; given up after {failed} tries", file=url, remedy=remedy) from e
                pause = e.after if e.after is not None else self.patience.pause * 2 ** max(failed - 1, 0)
                pause = min(pause, self.patience.longest) * random.uniform(0.75, 1.0)  # not all clients at once
                watch.note(f"{e}; trying again in {pause:.0f} s")
                time.sleep(pause)


def told_path(part: Path) -> Path:
    """Where it is remembered what the server said about the file of a part."""
    return part.with_name(part.name + ".json")


def _known(part: Path, url: str) -> Remote | None:
    """What is remembered; None when it is nothing, or of another address."""
    try:
        known = Remote(**json.loads(told_path(part).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):  # a killed process leaves half of it: then the part is worth nothing
        return None
    return known if known.url == url else None


def _remember(part: Path, remote: Remote) -> None:
    try:
        told_path(part).write_text(json.dumps(asdict(remote)), encoding="utf-8")
    except OSError as e:
        raise no_room(e, part) from e


@contextmanager
def _locked(part: Path) -> Iterator[BinaryIO]:
    """The part, opened to append, for this process alone; the lock dies with its process."""
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        file = open(part, "ab", buffering=0)  # noqa: SIM115 - closed below; what is raised there is not about opening
    except OSError as e:
        raise no_room(e, part) from e
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError("another process is fetching it", file=part, remedy="wait for that one") from None
        if not part.exists() or os.fstat(file.fileno()).st_ino != part.stat().st_ino:
            raise UserError("another process has just fetched it", file=part, remedy="run the same command again")
        yield file


def _write(answer: requests.Response, file: BinaryIO, remote: Remote, watch: Watch) -> None:
    done = _length(file)
    watch.at(done, remote.size)
    for chunk in _chunks(answer):
        left = memoryview(chunk)
        try:
            while left:
                left = left[file.write(left) :]
        except OSError as e:
            raise no_room(e, file.name) from e
        done += len(chunk)
        watch.at(done, remote.size)


def _chunks(answer: requests.Response) -> Iterator[bytes]:
    """The body as it is sent: a server that calls a .gz file `Content-Encoding: gzip` does not change it."""
    try:
        yield from answer.raw.stream(CHUNK, decode_content=False)
    except (urllib3.exceptions.HTTPError, OSError) as e:
        raise RetryableError(f"the answer broke off ({reason(e)})") from e


def _whole(file: BinaryIO, remote: Remote) -> Remote:
    done = _length(file)
    if remote.size is not None and done != remote.size:
        if done > remote.size:
            file.truncate(0)
        raise RetryableError(f"{done:,} of {remote.size:,} bytes came")
    try:
        os.fsync(file.fileno())
    except OSError as e:
        raise no_room(e, file.name) from e
    return remote


def _length(file: BinaryIO) -> int:
    return os.fstat(file.fileno()).st_size


def no_room(error: OSError, path: object) -> UserError:
    """The error for a disk that does not take what is written."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        remedy = "make room and run the same command again; it goes on where it stopped"
        return UserError("the disk is full", file=path, remedy=remedy)
    return UserError(f"cannot be written: {error}", file=path, remedy="choose a folder with write access")
