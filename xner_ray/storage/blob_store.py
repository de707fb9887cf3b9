"""Where bytes come to rest: durable writes and create-if-absent on a local file system, at two fsyncs a write.

A `BlobStore` is all that the room asks of a store, and `open_blob_store` chooses one: this one or `object_store.py`.
A store without create-if-absent is refused, since nothing else in the room can replace it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from pathlib import Path
from typing import Protocol

from xner_ray.errors import UserError
from xner_ray.storage.atomic import TEMP, explained, make_folder, replace_file, sync_tree, write_bytes  # noqa: F401


class BlobStore(Protocol):
    """A folder of a store. Names are relative to it and use `/`; the steps are those of `LocalDisk`."""

    def path(self, name: str) -> str: ...
    def put(self, name: str, data: bytes | memoryview, step: str, if_absent: bool = False) -> bool: ...
    def put_file(self, name: str, file: Path, step: str) -> None: ...
    def get(self, name: str) -> bytes | None: ...
    def exists(self, name: str) -> bool: ...
    def ages(self, folder: str = "") -> dict[str, float]: ...
    def remove(self, name: str) -> None: ...


class LocalDisk:
    """A folder on a local file system. Names are relative to it and use `/`."""

    def __init__(self, root: Path):
        self.root = root

    def path(self, name: str) -> str:
        return str(self.root / name)

    def put(self, name: str, data: bytes | memoryview, step: str, if_absent: bool = False) -> bool:
        """Write a file durably, whole or not at all; `step` names the failpoints.

        Args:
            if_absent: leave the file alone where one has the name, and return False. Two writers never both get True.

        Raises:
            UserError: no room, no permission, no hard links. The file was not written then and no temp file is left.
        """
        return write_bytes(self.root / name, data, if_absent=if_absent, step=step)

    def put_file(self, name: str, file: Path, step: str) -> None:
        """`put` of a file of any size."""
        replace_file(self.root / name, lambda temporary: shutil.copyfile(file, temporary), step=step)

    def get(self, name: str) -> bytes | None:
        """The file's bytes; None where there is none."""
        with contextlib.suppress(FileNotFoundError), explained(self.root / name):
            return (self.root / name).read_bytes()
        return None

    def exists(self, name: str) -> bool:
        return (self.root / name).exists()

    def ages(self, folder: str = "") -> dict[str, float]:
        """Names of the files in a folder, sorted, with the seconds since each was written."""
        now, found, home = time.time(), {}, self.root / folder
        for name in sorted(os.listdir(home)) if home.exists() else ():
            with contextlib.suppress(FileNotFoundError):  # temp files come and go while we look
                found[os.path.join(folder, name)] = now - (home / name).stat().st_mtime
        return found

    def remove(self, name: str) -> None:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):  # the second: below a file there is nothing
            (self.root / name).unlink()


def open_blob_store(root: str | Path) -> BlobStore:
    """The place for a path or URL. Raises: UserError for a store that is not known to create only where absent."""
    scheme, _, rest = str(root).rpartition("://")
    if scheme in ("", "file"):
        return LocalDisk(Path(rest))
    from xner_ray.storage.object_store import SCHEMES, bucket_place

    if scheme not in SCHEMES:
        remedy = f"give a local folder or a URL that starts with {', '.join(s + '://' for s in SCHEMES)}"
        raise UserError(f"cannot commit to {scheme}:// stores", file=root, key="out", remedy=remedy)
    return bucket_place(str(root))
