"""The blob store on a local file system: two syncs a write, and hard links to create a file only if it is absent."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from pathlib import Path
from stat import S_ISREG

from xner_ray.storage.atomic import explained, replace_file, write_bytes
from xner_ray.storage.file_entry import FileEntry
from xner_ray.storage.fingerprint import hash_file


class LocalDisk:
    """A folder of a local file system; see `BlobStore` for the methods.

    All methods that write raise UserError if there is no space, no permission or no support of hard links. Then nothing was
    written.
    """

    def __init__(self, root: Path):
        self.root = root

    def path(self, name: str) -> str:
        return str(self.root / name)

    def read(self, name: str) -> bytes | None:
        try:  # of many small files, so without the cost of a Path and of context managers
            with open(f"{self.root}/{name}", "rb", buffering=0) as file:
                return file.readall()
        except FileNotFoundError:
            return None
        except OSError:
            with explained(self.root / name):
                raise

    def write(self, name: str, data: bytes | memoryview, step: str = "file") -> None:
        write_bytes(self.root / name, data, step=step)

    def write_file(self, name: str, file: Path, step: str = "file") -> None:
        replace_file(self.root / name, lambda temporary: shutil.copyfile(file, temporary), step=step)

    def create_if_absent(self, name: str, data: bytes | memoryview, step: str = "file") -> bool:
        return write_bytes(self.root / name, data, if_absent=True, step=step)

    def exists(self, name: str) -> bool:
        return (self.root / name).exists()

    def list(self, folder: str = "") -> dict[str, float]:
        return {name: entry.age for name, entry in sorted(self.entries(folder).items())}

    def entries(self, folder: str = "") -> dict[str, FileEntry]:
        now, found, path, prefix = time.time(), {}, self.root / folder, os.path.join(folder, "")
        try:
            with explained(path), os.scandir(path) as entries:
                for entry in entries:
                    try:
                        stat = entry.stat()
                    except FileNotFoundError:  # temporary files may vanish meanwhile
                        continue
                    if S_ISREG(stat.st_mode):
                        stamp = f"{stat.st_size}-{stat.st_mtime_ns}"
                        found[prefix + entry.name] = FileEntry(stat.st_size, now - stat.st_mtime, stamp)
        except FileNotFoundError:
            return {}
        return found

    def sha256(self, name: str) -> str | None:
        with contextlib.suppress(FileNotFoundError), explained(self.root / name):
            return hash_file(self.root / name)
        return None

    def delete(self, name: str) -> None:
        with (
            explained(self.root),
            contextlib.suppress(FileNotFoundError, NotADirectoryError),
        ):  # the second: a parent is a file
            (self.root / name).unlink()
