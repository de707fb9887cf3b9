"""An HTTP server on loopback that serves files as OPUS does, with faults on request."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Fault:
    """The fault of one GET response. The fields may be combined.

    Attributes:
        status: HTTP status instead of a file.
        retry_after: Retry-After header of this status.
        cut: reset the connection after so many bytes of the body.
        stall: seconds without data in the middle of the body.
        extra: bytes that are announced but not sent.
        ignore_range: send the complete file although a range is requested.
        stitch: send the rest although If-Range does not match.
        shift: bytes by which the partial response starts at another position.
        swap: replace the file by these bytes before the response.
        redirect: answer with this Location instead of the file.
        endless: send the file without a length, and bytes after it until the client closes the connection.
    """

    status: int | None = None
    retry_after: str | None = None
    cut: int | None = None
    stall: float = 0.0
    extra: int = 0
    ignore_range: bool = False
    stitch: bool = False
    shift: int = 0
    swap: bytes | None = field(default=None, repr=False)
    redirect: str | None = None
    endless: bool = False


@dataclass
class Site:
    """The files of the server and the requests so far.

    Attributes:
        url: address of the server.
        files: content by path.
        faults: faults of the next GET responses.
        requests: method, path and headers of each request.
        etag: gives the ETag of a content, or None.
        date: gives the Last-Modified header of a content, or None.
        head: HEAD requests are allowed.
        api: responds to requests with a query.
    """

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    etag: Callable[[bytes], str | None] = lambda data: f'"{hash(data):x}"'
    date: Callable[[bytes], str | None] = lambda data: None
    head: bool = True
    api: Callable[[dict[str, str]], Any] | None = None

    def ranges(self) -> list[str | None]:
        """The Range header of each GET so far."""
        return [headers.get("Range") for method, _, headers in self.requests if method == "GET"]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    site: Site

    def do_HEAD(self) -> None:
        self._note()
        data = self.site.files.get(self.path)
        if not self.site.head or data is None:
            return self._plain(405 if not self.site.head else 404)
        return self._headers(200, data, len(data))

    def do_GET(self) -> None:
        self._note()
        if self.site.api and "?" in self.path:
            query = dict(urllib.parse.parse_qsl(self.path.partition("?")[2]))
            return self._plain(200, json.dumps(self.site.api(query)).encode())
        fault = self.site.faults.pop(0) if self.site.faults else Fault()
        if fault.status:
            return self._plain(fault.status, after=fault.retry_after)
        if fault.redirect is not None:
            return self._plain(302, location=fault.redirect)
        if self.path not in self.site.files:
            return self._plain(404)
        if fault.endless:
            return self._endless(self.site.files[self.path])
        if fault.swap is not None:
            self.site.files[self.path] = fault.swap
        return self._file(self.site.files[self.path], fault)

    def _file(self, data: bytes, fault: Fault) -> None:
        start, stop = self._range(data, fault)
        if start is not None and start >= len(data):
            self._plain(416)
            return
        body = data if start is None else data[start:stop]
        content_range = None if start is None else f"bytes {start + fault.shift}-{start + len(body) - 1}/{len(data)}"
        self._headers(200 if start is None else 206, data, len(body) + fault.extra, content_range)
        half = len(body) // 2
        end = fault.cut if fault.cut is not None else len(body)
        self.wfile.write(body[: min(half, end)])
        if fault.stall:
            self.wfile.flush()
            time.sleep(fault.stall)
        with contextlib.suppress(OSError):  # a client that has timed out
            self.wfile.write(body[half:end])
            self.wfile.flush()
        if fault.cut is not None:
            time.sleep(0.02)  # so that the sent bytes arrive before the reset
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if fault.cut is not None or fault.extra:
            self.close_connection = True
            self.connection.close()

    def _range(self, data: bytes, fault: Fault) -> tuple[int | None, int | None]:
        requested = self.headers.get("Range")
        if not requested or fault.ignore_range:
            return None, None
        valid = {self.site.etag(data), self.site.date(data), None} - {None if "If-Range" in self.headers else ""}
        if not fault.stitch and self.headers.get("If-Range") not in valid:
            return None, None
        first, _, last = requested.removeprefix("bytes=").partition("-")
        return int(first), int(last) + 1 if last else None

    def _headers(self, status: int, data: bytes, length: int, content_range: str | None = None) -> None:
        self.send_response(status)
        headers = {"ETag": self.site.etag(data), "Last-Modified": self.site.date(data), "Content-Range": content_range}
        for name, value in (headers | {"Content-Length": str(length), "Accept-Ranges": "bytes"}).items():
            if value is not None:
                self.send_header(name, value)
        self.end_headers()

    def _endless(self, data: bytes) -> None:
        self.send_response(200)
        self.end_headers()
        self.close_connection = True
        while True:  # until the write fails
            self.wfile.write(data)

    def _plain(self, status: int, body: bytes = b"", after: str | None = None, location: str | None = None) -> None:
        self.send_response(status)
        if location is not None:
            self.send_header("Location", location)
        self.send_header("Content-Length", str(len(body)))
        if after is not None:
            self.send_header("Retry-After", after)
        self.end_headers()
        self.wfile.write(body)

    def _note(self) -> None:
        self.site.requests.append((self.command, self.path, dict(self.headers)))

    def handle(self) -> None:
        with contextlib.suppress(OSError, ValueError):  # the fault has closed the connection
            super().handle()

    def finish(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            super().finish()

    def log_message(self, *_: object) -> None:
        """Logs nothing."""


@contextlib.contextmanager
def serving() -> Iterator[Site]:
    """A site on a free port of loopback, until the block ends."""
    site = Site()
    handler = type("Handler", (_Handler,), {"site": site})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    site.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
