"""Download of one file over HTTP, resumed after interruptions.

Received bytes are kept in `NAME.part`, and the next request asks for the rest with If-Range. If the file on the server
has changed, the server then sends the new file from its start, so parts of two files are never joined. Without a strong
ETag or a date, a download starts again from the beginning.

Temporary failures (connection resets, read timeouts, short responses, 408, 429, 5xx) are retried with growing pauses.
The number of tries starts again whenever a try makes progress. Other failures (404, 403, a full disk) raise a UserError
at once, and the part is kept.
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
    RemoteFile,
    RetryableError,
    check_status,
    content_range,
    error_reason,
    remote_file,
    status_error,
)
from xner_ray.corpora.public_hosts import PrivateAddressError, public_session
from xner_ray.errors import UserError

T = TypeVar("T")
CHUNK = 1 << 16
_HEADERS = {"Accept-Encoding": "identity"}  # lengths and ranges must be those of the file itself
_NO_HEAD = {400, 401, 403, 405, 501}  # signed URLs and simple servers allow only GET


@dataclass(frozen=True)
class RetryPolicy:
    """Timeouts and pauses of a download.

    Attributes:
        connect_timeout: seconds to connect.
        read_timeout: seconds without data.
        max_tries: tries without any progress.
        first_pause: seconds before the second try; each further pause is twice as long.
        max_pause: longest pause in seconds.
    """

    connect_timeout: float = 10.0
    read_timeout: float = 60.0
    max_tries: int = 6
    first_pause: float = 1.0
    max_pause: float = 60.0


class ProgressListener:
    """Receives the progress of downloads and checks. This one ignores it; the command line draws bars."""

    def on_start(self, name: str, step: str) -> None:
        """A step (`fetching` or `checking`) of the file `name` starts."""

    def on_progress(self, done: int, total: int | None) -> None:
        """`done` of `total` bytes are processed; total is None where it is not known."""

    def on_warning(self, text: str) -> None:
        """A failure that is being handled."""


class HttpClient:
    """An HTTP session that retries temporary failures.

    Args:
        retry_policy: timeouts and pauses.
        allow_private_hosts: connect to private and loopback addresses, too.
    """

    def __init__(self, retry_policy: RetryPolicy | None = None, allow_private_hosts: bool = False):
        self.retry_policy = retry_policy or RetryPolicy()
        self._session = public_session(allow_private_hosts)

    def __enter__(self) -> HttpClient:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()

    def head(self, url: str, listener: ProgressListener) -> RemoteFile:
        """Size and ETag of a file, without its content; the URL alone where the server refuses HEAD requests.

        Raises:
            UserError: the file does not exist, or the server cannot be reached.
        """

        def request() -> RemoteFile:
            with self._request("HEAD", url, {}) as response:
                if response.status_code in _NO_HEAD:
                    return RemoteFile(url)
                check_status(response, url)
                return remote_file(response, url)

        return self._with_retries(request, url, listener, lambda: 0)

    def download(self, url: str, part: Path, listener: ProgressListener, max_bytes: int | None = None) -> RemoteFile:
        """Download a file to `part`, continuing an earlier download of the same file.

        Args:
            url: of the file.
            part: where its bytes are written.
            listener: receives progress and warnings.
            max_bytes: that the file may have. More are an error; None: no limit.

        Returns:
            The server's description of the file that `part` holds.

        Raises:
            UserError: the file cannot be had or is larger than `max_bytes`, the disk is full, another process downloads it,
                or `max_tries` tries made no progress. The part is kept, except bytes of another file.
        """
        with _locked(part) as file:
            saved = _load_metadata(part, url)
            if saved is None:
                file.truncate(0)
            elif saved.size is not None and _length(file) == saved.size:
                return saved
            return self._with_retries(
                lambda: self._download_rest(url, part, file, listener, max_bytes), url, listener, lambda: _length(file)
            )

    def _download_rest(
        self, url: str, part: Path, file: BinaryIO, listener: ProgressListener, max_bytes: int | None
    ) -> RemoteFile:
        """Append the body of one response; the file is complete when this returns."""
        saved, received, headers = _load_metadata(part, url), _length(file), {}
        if received and saved and saved.validator:
            headers = {"Range": f"bytes={received}-", "If-Range": saved.validator}
        with self._request("GET", url, headers) as response:
            if response.status_code == 416 and headers:
                file.truncate(0)
                raise RetryableError("the file is shorter than the received part; starting again", after=0)
            check_status(response, url)
            remote = remote_file(response, url)
            if response.status_code == 206 and headers and saved:
                if content_range(response)[0] != received or not remote.may_equal(saved):
                    file.truncate(0)
                    raise RetryableError("the rest belongs to another file; starting again", after=0)
                remote = saved
            elif response.status_code == 200:
                if received:
                    listener.on_warning("the file has changed, or the server cannot resume downloads; starting again")
                file.truncate(0)
                _save_metadata(part, remote)
            else:
                raise status_error(response, url)
            _append_body(response, file, remote, listener, max_bytes)
        return _check_length(file, remote)

    @contextmanager
    def _request(self, method: str, url: str, headers: dict[str, str]) -> Iterator[requests.Response]:
        timeouts = (self.retry_policy.connect_timeout, self.retry_policy.read_timeout)
        try:
            response = self._session.request(
                method, url, headers=_HEADERS | headers, stream=True, timeout=timeouts, allow_redirects=True
            )
        except (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema, requests.exceptions.MissingSchema):
            remedy = "use an address of http or https that leads to such an address"
            raise UserError("is not an HTTP address, or leads to one that is not", file=url, remedy=remedy) from None
        except PrivateAddressError as e:
            raise e.user_error(url) from e
        except requests.RequestException as e:
            raise RetryableError(f"no response ({error_reason(e)})") from e
        with response:
            yield response

    def _with_retries(
        self, request: Callable[[], T], url: str, listener: ProgressListener, progress: Callable[[], int]
    ) -> T:
        failures, most = 0, progress()
        while True:
            try:
                return request()
            except RetryableError as e:
                # Compared with the maximum, since a server that announces too many bytes would cause endless tries.
                failures = 0 if progress() > most else failures + 1
                most = max(most, progress())
                if failures >= self.retry_policy.max_tries:
                    remedy = "run the same command later; it continues from the received part"
                    raise UserError(f"{e}; gave up after {failures} tries", file=url, remedy=remedy) from e
                pause = self._pause(failures) if e.after is None else min(e.after, self.retry_policy.max_pause)
                pause *= random.uniform(0.75, 1.0)  # so that clients do not retry at the same moment
                listener.on_warning(f"{e}; next try in {pause:.0f} s")
                time.sleep(pause)

    def _pause(self, failures: int) -> float:
        return min(self.retry_policy.first_pause * 2 ** max(failures - 1, 0), self.retry_policy.max_pause)


def metadata_path(part: Path) -> Path:
    """The file that holds the server's description of a part."""
    return part.with_name(part.name + ".json")


def _load_metadata(part: Path, url: str) -> RemoteFile | None:
    """The saved description; None where there is none, or it is of another URL."""
    try:
        saved = RemoteFile(**json.loads(metadata_path(part).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):  # a killed process leaves an incomplete file: the part is then discarded
        return None
    return saved if saved.url == url else None


def _save_metadata(part: Path, remote: RemoteFile) -> None:
    try:
        metadata_path(part).write_text(json.dumps(asdict(remote)), encoding="utf-8")
    except OSError as e:
        raise write_error(e, part) from e


@contextmanager
def _locked(part: Path) -> Iterator[BinaryIO]:
    """The part, opened to append and locked for this process; the lock ends with the process."""
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        file = open(part, "ab", buffering=0)  # noqa: SIM115 - closed below; errors inside are not errors of opening
    except OSError as e:
        raise write_error(e, part) from e
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError("another process downloads it", file=part, remedy="wait for that process") from None
        if not part.exists() or os.fstat(file.fileno()).st_ino != part.stat().st_ino:
            raise UserError("another process has just downloaded it", file=part, remedy="run the same command again")
        yield file


def _append_body(
    response: requests.Response, file: BinaryIO, remote: RemoteFile, listener: ProgressListener, max_bytes: int | None
) -> None:
    done = _length(file)
    listener.on_progress(done, remote.size)
    for chunk in _chunks(response):
        if max_bytes is not None and done + len(chunk) > max_bytes:
            file.truncate(0)
            problem = f"sends more than the {max_bytes:,} bytes that were announced"
            raise UserError(
                problem, file=remote.url, remedy="run it again, which asks for the size again; or do not trust it"
            )
        left = memoryview(chunk)
        try:
            while left:
                left = left[file.write(left) :]
        except OSError as e:
            raise write_error(e, file.name) from e
        done += len(chunk)
        listener.on_progress(done, remote.size)


def _chunks(response: requests.Response) -> Iterator[bytes]:
    """The body as sent; not decoded, even if a server marks a .gz file as `Content-Encoding: gzip`."""
    try:
        yield from response.raw.stream(CHUNK, decode_content=False)
    except (urllib3.exceptions.HTTPError, OSError) as e:
        raise RetryableError(f"the response ended early ({error_reason(e)})") from e


def _check_length(file: BinaryIO, remote: RemoteFile) -> RemoteFile:
    done = _length(file)
    if remote.size is not None and done != remote.size:
        if done > remote.size:
            file.truncate(0)
        raise RetryableError(f"received {done:,} of {remote.size:,} bytes")
    try:
        os.fsync(file.fileno())
    except OSError as e:
        raise write_error(e, file.name) from e
    return remote


def _length(file: BinaryIO) -> int:
    return os.fstat(file.fileno()).st_size


def write_error(error: OSError, path: object) -> UserError:
    """The error for a failed write to disk."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        remedy = "free space and run the same command again; it continues from the received part"
        return UserError("the disk is full", file=path, remedy=remedy)
    return UserError(f"cannot be written: {error}", file=path, remedy="choose a folder with write access")
