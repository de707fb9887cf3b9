"""Where bytes come to rest: durable writes and create-if-absent on a local file system, at two fsyncs a write.

A `BlobStore` is all that the room asks of a store, and `open_blob_store` chooses one: this one or `object_store.py`.
A store without create-if-absent is refused, since nothing else in the room can replace it.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import re
import signal
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from xner_ray.errors import UserError

TEMP = re.compile(r".+\.[0-9a-f]{16}\.tmp")
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}  # EFBIG is ulimit -f
_UNFIT = {errno.EACCES, errno.EROFS, errno.ENOTDIR, errno.EPERM, errno.ENOTSUP, errno.EMLINK}  # the last 3: no links


def failpoint(name: str) -> None:
    """Die here if a test says so: XNER_FAILPOINT=name (SIGKILL), name:stop (SIGSTOP, a worker that hangs) or name:PID (that
    process, the driver, is killed, and this one does nothing more)."""
    point, _, how = os.environ.get("XNER_FAILPOINT", "").partition(":")
    if point == name:
        if how.isdigit():
            os.kill(int(how), signal.SIGKILL)
            time.sleep(3600)
        os.kill(os.getpid(), signal.SIGSTOP if how == "stop" else signal.SIGKILL)


def random_id() -> str:
    return uuid.uuid4().hex[:16]


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """What the user can mend (a full disk, an unfit folder) becomes a UserError; the rest passes as it is."""
    try:
        yield
    except OSError as e:
        if e.errno not in _FULL | _UNFIT:
            raise
        remedy = "choose an out=... on a local disk (it needs hard links) where you may write"
        if e.errno in _FULL:
            remedy = "free space or raise the limit, and run again: what is committed is kept"
        raise UserError(f"cannot be used: {os.strerror(e.errno)}", file=path, remedy=remedy) from e


def sync_folder(path: Path) -> None:
    """A name is durable only once the folder that holds it is."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sync_tree(root: Path) -> None:
    """Make all below a folder durable, e.g. a checkpoint that a library wrote without fsync."""
    for folder, _, names in os.walk(root):
        for name in names:
            with contextlib.suppress(FileNotFoundError), open(os.path.join(folder, name), "rb") as f:
                os.fsync(f.fileno())
        sync_folder(Path(folder))


def make_folder(path: Path) -> None:
    with explained(path):
        missing = [p for p in (path, *path.parents) if not p.exists()]
        if not missing and not path.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, "a file has this name")
        path.mkdir(parents=True, exist_ok=True)
        for p in missing:
            sync_folder(p.parent)


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
        target, half = self.root / name, len(data) // 2
        make_folder(target.parent)
        temp = target.with_name(f"{target.name}.{random_id()}.tmp")
        settle, written = (os.link if if_absent else os.replace), True
        try:
            with explained(target):
                with open(temp, "xb") as f:
                    failpoint(f"{step}.opened")
                    f.write(data[:half])
                    f.flush()
                    failpoint(f"{step}.half")
                    f.write(data[half:])
                    f.flush()
                    failpoint(f"{step}.written")
                    os.fsync(f.fileno())
                failpoint(f"{step}.synced")
                settle(temp, target)
            failpoint(f"{step}.named")
        except FileExistsError:
            written = False
        finally:
            temp.unlink(missing_ok=True)
        sync_folder(target.parent)  # a second writer waits too: what it reports must not vanish in a power cut
        failpoint(f"{step}.durable")
        return written

    def put_file(self, name: str, file: Path, step: str) -> None:
        """`put` of a file of any size."""
        with open(file, "rb") as f:
            if not os.fstat(f.fileno()).st_size:
                self.put(name, b"", step)
                return
            with mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ) as pages, memoryview(pages) as data:
                self.put(name, data, step)

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
