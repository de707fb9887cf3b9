"""A real S3 server (SeaweedFS) on loopback, and a proxy before it that loses replies and cuts requests."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

KEYS = {"AWS_ACCESS_KEY_ID": "tester", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-east-1"}


def weed() -> str | None:
    """The server's program, beside this Python or on the path."""
    return shutil.which("weed", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")


def free_port() -> int:
    """A port whose gRPC twin, 10,000 above, is free too: SeaweedFS takes both.

    Both lie between what Ray gives to workers (up to 19999) and what Linux gives to connections (from 32768), which could
    take them while the server is down.
    """
    while True:
        port = random.randint(20_000, 22_700)
        with contextlib.suppress(OSError), contextlib.ExitStack() as held:
            for p in (port, port + 10_000):
                held.enter_context(socket.socket()).bind(("127.0.0.1", p))
            return port


class Server:
    """One SeaweedFS with the bucket `bucket`; it keeps ports and data when it is started again."""

    def __init__(self, folder: Path):
        self.folder, self.port = folder, free_port()
        identity = {"name": "t", "credentials": [{"accessKey": KEYS["AWS_ACCESS_KEY_ID"], "secretKey": "secret"}]}
        config = folder / "s3.json"
        config.write_text(json.dumps({"identities": [identity | {"actions": ["Admin", "Read", "Write", "List"]}]}))
        (folder / "data").mkdir()
        others = [f"-{what}.port={free_port()}" for what in ("master", "volume", "filer")]
        self.command = [
            str(weed()), "server", "-s3", f"-s3.port={self.port}", f"-s3.config={config}", f"-dir={folder / 'data'}",
            "-ip=127.0.0.1", "-master.telemetry=false", "-master.volumeSizeLimitMB=64", "-volume.max=20",
            "-master.electionTimeout=1s",  # alone it is elected anyway, but ten seconds later by default
            "-s3.port.iceberg=0", "-s3.port.lance=0", *others,  # fixed ports, which another server may have
        ]  # fmt: skip
        self.url = f"http://127.0.0.1:{self.port}"
        self.start()

    def start(self) -> None:
        with (self.folder / "weed.log").open("a") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + 120
        while not self._ready():
            assert self.process.poll() is None and time.monotonic() < deadline, (self.folder / "weed.log").read_text()
            time.sleep(0.3)

    def _ready(self) -> bool:
        import obstore
        from obstore.store import S3Store

        # The bucket is made by a PUT on its name; the object behind it tells that volumes are there too.
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

    def stop(self, how: int = signal.SIGKILL) -> None:
        self.process.send_signal(how)
        self.process.wait(60)


class Proxy:
    """Passes connections on to a server. `lose` and `cut` are bytes: the next request that holds them reaches the server but
    its reply is lost, or is cut off in the middle."""

    def __init__(self, port: int):
        self.port, self.lose, self.cut, self.mishaps = port, b"", b"", 0
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            client, _ = self.socket.accept()
            threading.Thread(target=self._pass, args=(client,), daemon=True).start()

    def _pass(self, client: socket.socket) -> None:
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
