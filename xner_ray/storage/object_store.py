"""The blob store in an object store: a PUT is atomic, and `If-None-Match: *` creates an object only if it is absent.

obstore has one interface for S3, Google Cloud Storage and Azure. It finds credentials as their own clients do (AWS_...
variables, instance roles) and repeats requests while a server does not answer. It does not repeat a conditional PUT, because
the first one may have succeeded. This module does: a writer that then finds the name taken reads the object, which holds the
id of the attempt that wrote it. The tests run on S3.
"""

from __future__ import annotations

import contextlib
import functools
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from xner_ray.errors import UserError
from xner_ray.storage.failpoints import failpoint
from xner_ray.storage.file_entry import FileEntry
from xner_ray.storage.fingerprint import hash_bytes

SCHEMES = ("s3", "gs", "az")
MAX_OUTAGE = timedelta(minutes=5)  # the run gives up if a server does not answer for longer


class ObjectStore:
    """A prefix of a bucket; see `BlobStore` for the methods. Raises: UserError if obstore is missing or access is refused."""

    def __init__(self, url: str):
        try:
            import obstore
        except ModuleNotFoundError:
            remedy = "pip install 'xner_ray[s3]' here and on the nodes"
            raise UserError("object stores need the package obstore", file=url, remedy=remedy) from None
        self._obstore: Any = obstore
        self.url = url.rstrip("/")
        without_tls = os.environ.get("AWS_ENDPOINT_URL", "").startswith("http://")
        # Pauses are random, up to `base` times the last one. With base 2 they hardly grow: 30 tries end within 8 seconds.
        backoff = {"init_backoff": timedelta(seconds=0.2), "max_backoff": timedelta(seconds=10), "base": 4}
        retries: Any = {"max_retries": 1000, "retry_timeout": MAX_OUTAGE, "backoff": backoff}
        self._store = obstore.store.from_url(
            self.url, client_options={"allow_http": without_tls, "timeout": "60s"}, retry_config=retries
        )

    def path(self, name: str) -> str:
        return f"{self.url}/{name}"

    def read(self, name: str) -> bytes | None:
        with contextlib.suppress(FileNotFoundError), self._explained(name):
            return bytes(self._obstore.get(self._store, name).bytes())
        return None

    def write(self, name: str, data: bytes | memoryview, step: str = "file") -> None:
        self._put(name, data, step, "overwrite")

    def write_file(self, name: str, file: Path, step: str = "file") -> None:
        with self._explained(name):
            self._obstore.put(self._store, name, file)  # in parts if it is large

    def create_if_absent(self, name: str, data: bytes | memoryview, step: str = "file") -> bool:
        return self._put(name, data, step, "create")

    def exists(self, name: str) -> bool:
        with contextlib.suppress(FileNotFoundError), self._explained(name):
            return bool(self._obstore.head(self._store, name))
        return False

    def list(self, folder: str = "") -> dict[str, float]:
        return {name: entry.age for name, entry in sorted(self.entries(folder).items())}

    def entries(self, folder: str = "") -> dict[str, FileEntry]:
        now = datetime.now(UTC)
        with self._explained(folder):
            objects = self._obstore.list_with_delimiter(self._store, folder or None)["objects"]
        itself = ("", folder.rstrip("/"))  # some servers list the folder, too
        return {
            o["path"]: FileEntry(
                o["size"],
                (now - o["last_modified"]).total_seconds(),
                o["e_tag"] or f"{o['size']}-{o['last_modified']}",
            )
            for o in objects
            if o["path"] not in itself
        }

    def sha256(self, name: str) -> str | None:
        data = self.read(name)
        return None if data is None else hash_bytes(data)

    def delete(self, name: str) -> None:
        with contextlib.suppress(FileNotFoundError), self._explained(name):
            self._obstore.delete(self._store, name)

    def _put(self, name: str, data: bytes | memoryview, step: str, mode: Literal["create", "overwrite"]) -> bool:
        errors, deadline, pause = self._obstore.exceptions, time.monotonic() + MAX_OUTAGE.total_seconds(), 0.5
        failpoint(f"{step}.opened")
        while True:
            try:
                with self._explained(name):
                    self._obstore.put(self._store, name, bytes(data), mode=mode, use_multipart=False)
                break
            except errors.AlreadyExistsError:
                return False
            except FileNotFoundError as e:
                remedy = "create it, or correct the URL"
                raise UserError("there is no such bucket", file=self.url, remedy=remedy) from e
            except errors.GenericError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(pause)
                pause = min(2 * pause, 15.0)
        failpoint(f"{step}.named")
        return True

    @contextlib.contextmanager
    def _explained(self, name: str) -> Iterator[None]:
        """Turn errors that a user can repair into a UserError. Other errors pass."""
        errors = self._obstore.exceptions
        try:
            yield
        except (errors.PermissionDeniedError, errors.UnauthenticatedError) as e:
            remedy = "check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION, or the role of the nodes"
            raise UserError("the store refuses access", file=self.path(name), remedy=remedy) from e


@functools.lru_cache(maxsize=16)
def open_object_store(url: str) -> ObjectStore:
    """The store of a URL; one a process, because it holds the connections."""
    return ObjectStore(url)
