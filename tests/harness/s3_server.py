"""A real S3 server (SeaweedFS) on this machine, and a proxy that loses its replies and cuts requests."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

KEYS = {"AWS_ACCESS_KEY_ID": "tester", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-east-1"}


def weed() -> str | None:
    """The program of the server, beside this Python or on PATH; None: it is not installed."""
    return shutil.which("weed", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")


def free_port() -> int:
    """A free port. The port 10,000 above it is free too, because SeaweedFS uses it for gRPC.

    Neither Ray's workers (up to 19999) nor outgoing connections (from 32768) can take one of them while the server is down.
    """
    while True:
        port = random.randint(20_000, 22_700)
        with contextlib.suppress(OSError), contextlib.ExitStack() as sockets:
            for p in (port, port + 10_000):
                sockets.enter_context(socket.socket()).bind(("127.0.0.1", p))
            return port


class Server:
    """A SeaweedFS with the bucket `bucket`. It keeps its ports and data when it is restarted.

    Args:
        folder: for its data, config and log.
    """

    def __init__(self, folder: Path):
        self.folder, self.port = folder, free_port()
        identity = {"name": "t", "credentials": [{"accessKey": KEYS["AWS_ACCESS_KEY_ID"], "secretKey": "secret"}]}
        config = folder / "s3.json"
        config.write_text(json.dumps({"identities": [identity | {"actions": ["Admin", "Read", "Write", "List"]}]}))
        (folder / "data").mkdir()
        other_ports = [f"-{name}.port={free_port()}" for name in ("master", "volume", "filer")]
        self.command = [
            str(weed()), "server", "-s3", f"-s3.port={self.port}", f"-s3.config={config}", f"-dir={folder / 'data'}",
            "-ip=127.0.0.1", "-master.telemetry=false", "-master.volumeSizeLimitMB=64", "-volume.max=20",
            "-master.electionTimeout=1s",  # a single master is always elected, but by default after ten seconds
            "-s3.port.iceberg=0", "-s3.port.lance=0", *other_ports,  # the defaults are fixed ports, which another server may use
        ]  # fmt: skip
        self.url = f"http://127.0.0.1:{self.port}"
        self.start()

    def start(self) -> None:
        """Start the server and wait until it is ready."""
        with (self.folder / "weed.log").open("a") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + 120
        while not self._ready():
            assert self.process.poll() is None and time.monotonic() < deadline, (self.folder / "weed.log").read_text()
            time.sleep(0.3)

    def _ready(self) -> bool:
        import obstore
        from obstore.store import S3Store

        # If the object can be written, the bucket exists and the server has volumes.
        store = S3Store("bucket", endpoint=self.url, client_options={"allow_http": True, "timeout": "5s"},
                        access_key_id="tester", secret_access_key="secret", region="us-east-1",
                        retry_config={"max_retries": 0})  # fmt: skip
        try:
            obstore.put(store, "ready", b"")
            return True
        except FileNotFoundError:
            subprocess.run([str(weed()), "shell", f"-master={self._master()}"], input=b"s3.bucket.create -name bucket\n",
                           capture_output=True, timeout=60)  # fmt: skip
        except obstore.exceptions.BaseError:
            pass
        return False

    def _master(self) -> str:
        return "127.0.0.1:" + next(x for x in self.command if x.startswith("-master.port=")).rpartition("=")[2]

    def stop(self) -> None:
        """Kill the server."""
        self.process.kill()
        self.process.wait(60)


class Proxy:
    """Forwards connections to a server, and can disturb one request.

    Args:
        port: of the server.

    Attributes:
        url: of the proxy.
        lose: the next request that contains these bytes reaches the server, but its reply is lost.
        cut: the next request that contains these bytes is cut in the middle.
        mishaps: number of disturbed requests.
    """

    def __init__(self, port: int):
        self.port, self.lose, self.cut, self.mishaps = port, b"", b"", 0
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            client, _ = self.socket.accept()
            threading.Thread(target=self._forward, args=(client,), daemon=True).start()

    def _forward(self, client: socket.socket) -> None:
        lost = threading.Event()
        with client, contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port)) as server:
            back = threading.Thread(target=self._replies, args=(server, client, lost), daemon=True)
            back.start()
            while data := client.recv(1 << 16):
                if self.cut and self.cut in data:
                    self.cut, self.mishaps = b"", self.mishaps + 1
                    server.sendall(data[: len(data) // 2])
                    return
                if self.lose and self.lose in data:
                    self.lose, self.mishaps = b"", self.mishaps + 1
                    lost.set()
                server.sendall(data)
            back.join(5)

    @staticmethod
    def _replies(server: socket.socket, client: socket.socket, lost: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(1 << 16):
                if lost.is_set():
                    client.shutdown(socket.SHUT_RDWR)
                    return
                client.sendall(data)
            client.shutdown(socket.SHUT_WR)
