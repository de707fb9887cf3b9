"""The same place in an object store: a PUT lands whole or not at all, and `If-None-Match: *` creates only where absent.

obstore speaks to S3, Google Cloud Storage and Azure with one call, finds credentials as their own clients do (AWS_...
variables, instance roles), and tries again while a server is away. A conditional PUT it does not repeat, because the first
may have landed; we do, since whoever then finds the name taken reads back whose attempt it was. The tests run on S3.
"""

from __future__ import annotations

import contextlib
import functools
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from xner_ray.errors import UserError
from xner_ray.storage.failpoints import failpoint

SCHEMES = ("s3", "gs", "az")
AWAY = timedelta(minutes=5)  # how long a server may be gone before the run gives up


class BucketPlace:
    """A prefix of a bucket, with the methods of `place.Place`."""

    def __init__(self, url: str):
        try:
            import obstore
        except ModuleNotFoundError:
            remedy = "pip install 'xner_ray[s3]' here and on the nodes"
            raise UserError("object stores need the package obstore", file=url, remedy=remedy) from None
        self._do: Any = obstore
        self.url = url.rstrip("/")
        plain = os.environ.get("AWS_ENDPOINT_URL", "").startswith("http://")  # a server of one's own, without TLS
        # Pauses are drawn at random up to `base` times the last one, so base 2 hardly grows: 30 tries are over in 8 seconds.
        pauses = {"init_backoff": timedelta(seconds=0.2), "max_backoff": timedelta(seconds=10), "base": 4}
        retries: Any = {"max_retries": 1000, "retry_timeout": AWAY, "backoff": pauses}
        self._store = obstore.store.from_url(
            self.url, client_options={"allow_http": plain, "timeout": "60s"}, retry_config=retries
        )

    def path(self, name: str) -> str:
        return f"{self.url}/{name}"

    def put(self, name: str, data: bytes | memoryview, step: str, if_absent: bool = False) -> bool:
        """Write an object; `if_absent`: return False where the name is taken, perhaps by our own try whose reply got lost."""
        mode, deadline, pause = "create" if if_absent else "overwrite", time.monotonic() + AWAY.total_seconds(), 0.5
        failpoint(f"{step}.opened")
        while True:
            try:
                with self._explained(name):
                    self._do.put(self._store, name, bytes(data), mode=mode, use_multipart=False)
                break
            except self._do.exceptions.AlreadyExistsError:
                return False
            except FileNotFoundError as e:
                raise UserError(
                    "there is no such bucket", file=self.url, remedy="create it, or correct the URL"
                ) from e
            except self._do.exceptions.GenericError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(pause)
                pause = min(2 * pause, 15.0)
        failpoint(f"{step}.named")
        return True

    def put_file(self, name: str, file: Path, step: str) -> None:
        """`put` of a file of any size, in parts where it is large; it appears when it is whole."""
        with self._explained(name):
            self._do.put(self._store, name, file)

    def get(self, name: str) -> bytes | None:
        with contextlib.suppress(FileNotFoundError), self._explained(name):
            return bytes(self._do.get(self._store, name).bytes())
        return None

    def exists(self, name: str) -> bool:
        with contextlib.suppress(FileNotFoundError), self._explained(name):
            return bool(self._do.head(self._store, name))
        return False

    def ages(self, folder: str = "") -> dict[str, float]:
        now = datetime.now(UTC)
        with self._explained(folder):
            found = self._do.list_with_delimiter(self._store, folder or None)["objects"]
        itself = ("", folder.rstrip("/"))  # which some servers list too
        ages = {o["path"]: (now - o["last_modified"]).total_seconds() for o in found if o["path"] not in itself}
        return dict(sorted(ages.items()))

    def remove(self, name: str) -> None:
        with contextlib.suppress(FileNotFoundError), self._explained(name):
            self._do.delete(self._store, name)

    @contextlib.contextmanager
    def _explained(self, name: str) -> Iterator[None]:
        """What the user can mend becomes a UserError; the rest passes as it is."""
        errors = self._do.exceptions
        try:
            yield
        except (errors.PermissionDeniedError, errors.UnauthenticatedError) as e:
            remedy = "check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION, or the role of the nodes"
            raise UserError("the store refuses access", file=self.path(name), remedy=remedy) from e


@functools.lru_cache(maxsize=16)
def bucket_place(url: str) -> BucketPlace:
    """The place of a URL, one a process: it holds the connections."""
    return BucketPlace(url)
