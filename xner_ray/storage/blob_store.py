"""Files by name, on a local disk or in an object store: the interface, and the function that opens one.

`LocalDisk` and `ObjectStore` implement it. Both write a file whole or not at all, and both can create a file only if it is
absent. A store that cannot do this is refused, because the commit of a shard depends on it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from xner_ray.errors import UserError
from xner_ray.storage.atomic import random_id
from xner_ray.storage.file_entry import FileEntry
from xner_ray.storage.local_disk import LocalDisk
from xner_ray.storage.object_store import SCHEMES, open_object_store


class BlobStore(Protocol):
    """A folder of a file system or a prefix of a bucket. Names are relative to it and use `/`.

    `step` is the prefix of a write's failpoints.
    """

    def path(self, name: str) -> str:
        """The path or URL of a file."""
        ...

    def read(self, name: str) -> bytes | None:
        """The content of a file; None if there is none."""
        ...

    def write(self, name: str, data: bytes | memoryview, step: str = "file") -> None:
        """Create or replace a file."""
        ...

    def write_file(self, name: str, file: Path, step: str = "file") -> None:
        """Copy a local file of any size."""
        ...

    def create_if_absent(self, name: str, data: bytes | memoryview, step: str = "file") -> bool:
        """Create a file; False if it exists. Of several writers at once, at most one gets True.

        After a lost reply, the writer that created the file may get False; it learns from `read` that the file is its own.
        """
        ...

    def exists(self, name: str) -> bool:
        """Whether there is a file with this name."""
        ...

    def list(self, folder: str = "") -> dict[str, float]:
        """The files of a folder without its subfolders, sorted by name, with the seconds since each was written."""
        ...

    def entries(self, folder: str = "") -> dict[str, FileEntry]:
        """The files of a folder without its subfolders, in no order."""
        ...

    def sha256(self, name: str) -> str | None:
        """The SHA-256 of a file, hex; None if there is none."""
        ...

    def delete(self, name: str) -> None:
        """Delete a file; nothing happens if there is none."""
        ...


def check_create_if_absent(store: BlobStore, key: str = "out") -> None:
    """Check that a store can be written, and can create a file only if it is absent.

    Args:
        store: the store.
        key: the config key that names it.

    Raises:
        UserError: it cannot.
    """
    name = (
        f"probe.{random_id()}.tmp"  # the name of a temporary file, so that a sweep deletes what a killed probe leaves
    )
    try:
        if [store.create_if_absent(name, b"probe", "probe") for _ in range(2)] != [True, False]:
            problem = "this store cannot create a file only if it is absent, and commits depend on that"
            remedy = "use a local disk, or a store that honors If-None-Match (S3 does since 2024)"
            raise UserError(problem, file=store.path(""), key=key, remedy=remedy)
    finally:
        store.delete(name)


def open_blob_store(root: str | Path) -> BlobStore:
    """The store of a path or URL.

    Raises:
        UserError: a kind of store that may not be able to create a file only if it is absent.
    """
    scheme, _, path = str(root).rpartition("://")
    if scheme in ("", "file"):
        return LocalDisk(Path(path))
    if scheme not in SCHEMES:
        remedy = f"give a local folder or a URL that starts with {', '.join(s + '://' for s in SCHEMES)}"
        raise UserError(f"cannot commit to {scheme}:// stores", file=root, key="out", remedy=remedy)
    return open_object_store(str(root))
