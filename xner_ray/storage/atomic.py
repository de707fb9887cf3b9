"""Files, folders and symlinks that appear under their name whole or not at all.

Every write of the package that ends in a rename is in this module. The data is written under a temporary name beside the
target, `<name>.<16 hex digits>.tmp`, and synced to disk. Then it is renamed, and the parent folder is synced, because a name
is durable only when its folder is. So after a power cut the target holds the old content or the new content, and a completion
marker that is written later never stands beside an empty file.

A killed process leaves its temporary file or folder. Programs ignore these names (`TEMP`). The name of a temporary folder
also identifies its process, its host and its container, and the next writer of the same folder deletes those of dead processes.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import functools
import hashlib
import json
import os
import re
import shutil
import uuid
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from xner_ray.errors import UserError
from xner_ray.storage.failpoints import failpoint
from xner_ray.storage.processes import ProcessIdentity

TEMP = re.compile(r".+\.[0-9a-f]{16}\.tmp")
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}  # EFBIG: the limit of `ulimit -f`
# The last three are what file systems without hard links answer.
_UNFIT = {errno.EACCES, errno.EROFS, errno.ENOTDIR, errno.EPERM, errno.ENOTSUP, errno.EMLINK}
_NO_PATH = {errno.ELOOP, errno.ENAMETOOLONG, errno.EISDIR}  # a loop of symlinks, a path that is too long
_NO_FOLDER = _NO_PATH | {errno.EEXIST, errno.ENOENT}  # a dangling symlink, a file system such as /proc
_OS_ERROR = re.compile(r"\(os error (\d+)\)")  # in errors of libraries in Rust, such as safetensors
_TAKEN = {errno.ENOTEMPTY, errno.EEXIST}
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # of Linux


def random_id() -> str:
    """16 random hex digits."""
    return uuid.uuid4().hex[:16]


@contextlib.contextmanager
def explained(path: Path, errnos: Collection[int] = _FULL | _UNFIT | _NO_PATH) -> Iterator[None]:
    """Turn errors of the file system that a user can repair into a UserError about `path`. Other errors pass."""
    try:
        yield
    except Exception as e:
        number = _errno(e)
        if number not in errnos:
            raise
        remedy = "choose an out=... on a local disk (it needs hard links) where you may write"
        if number in _FULL:
            remedy = "free space or raise the limit, and run again: what is committed is kept"
        raise UserError(f"cannot be used: {os.strerror(number)}", file=path, remedy=remedy) from e


def _errno(error: Exception) -> int:
    """The number of an error of the file system; 0: it is another error."""
    if isinstance(error, OSError):
        return error.errno or 0
    match = _OS_ERROR.search(str(error))
    return int(match[1]) if match else 0


def sync_folder(path: Path) -> None:
    """Sync the names in a folder to disk."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sync_tree(root: Path) -> None:
    """Sync all files and folders below `root`, e.g. a checkpoint that a library wrote without fsync."""
    for folder, _, names in os.walk(root):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                _sync_file(Path(folder, name))
        sync_folder(Path(folder))


def sync_files(files: Collection[Path]) -> None:
    """Sync files and the folders that they are in to disk."""
    for file in files:
        _sync_file(file)
    for folder in {file.parent for file in files}:
        sync_folder(folder)


def make_folder(path: Path) -> None:
    """Make a folder and its parents durably; nothing happens if it exists. Raises: UserError if it cannot be made."""
    with explained(path, _FULL | _UNFIT | _NO_FOLDER):
        missing = [p for p in (path, *path.parents) if not p.exists()]
        if not missing and not path.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, "a file has this name")
        path.mkdir(parents=True, exist_ok=True)
        for p in missing:
            sync_folder(p.parent)


def replace_file(
    path: str | Path, write: Callable[[Path], object], *, if_absent: bool = False, step: str = "file"
) -> bool:
    """Create or replace a file durably.

    Args:
        path: of the file; missing folders are made.
        write: is called with the temporary path, and writes the file there.
        if_absent: leave an existing file alone and return False. Of several writers exactly one gets True.
        step: prefix of the failpoints.

    Returns:
        True if `path` now has the content of this call.

    Raises:
        UserError: no space, no permission or no hard links. Then nothing was written.
    """
    path = Path(path)
    make_folder(path.parent)
    temporary, created = path.with_name(f"{path.name}.{random_id()}.tmp"), True
    try:
        with explained(path, _FULL):
            write(temporary)
        with explained(path):
            _sync_file(temporary)
            failpoint(f"{step}.synced")
            try:
                (os.link if if_absent else os.replace)(temporary, path)
            except FileExistsError:
                created = False
        if created:
            failpoint(f"{step}.named")
    finally:
        with contextlib.suppress(OSError):  # a file system that became read-only must not hide the first error
            temporary.unlink(missing_ok=True)
    sync_folder(path.parent)  # also when another writer created the file: the caller may rely on it from now on
    failpoint(f"{step}.durable")
    return created


def write_bytes(path: str | Path, data: bytes | memoryview, *, if_absent: bool = False, step: str = "file") -> bool:
    """Create or replace a file with these bytes; see `replace_file`."""

    def write(temporary: Path) -> None:
        with explained(Path(path)), open(temporary, "xb") as file:
            failpoint(f"{step}.opened")
            file.write(data[: len(data) // 2])
            file.flush()
            failpoint(f"{step}.half")
            file.write(data[len(data) // 2 :])
            file.flush()
            failpoint(f"{step}.written")

    return replace_file(path, write, if_absent=if_absent, step=step)


def write_text(path: str | Path, text: str) -> None:
    """Create or replace a UTF-8 file."""
    write_bytes(path, text.encode())


def write_json(path: str | Path, value: Any, *, sort_keys: bool = False) -> None:
    """Create or replace a JSON file."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, sort_keys=sort_keys) + "\n")


def move_file(source: str | Path, target: str | Path) -> None:
    """Give a finished file of the same file system its final name."""
    _sync_file(Path(source))
    os.replace(source, target)
    sync_folder(Path(target).parent)


def replace_symlink(link: str | Path, target: str) -> None:
    """Let the symlink `link` point to `target`."""
    link = Path(link)
    if link.is_symlink() and os.readlink(link) == target:
        return
    temporary = link.with_name(f"{link.name}.{random_id()}.tmp")
    os.symlink(target, temporary)
    os.replace(temporary, link)
    sync_folder(link.parent)


@contextlib.contextmanager
def new_dir(path: str | Path, key: str | None = None) -> Iterator[Path]:
    """Create a folder: the block writes into a temporary folder, which gets its name when the block ends.

    An error in the block removes the temporary folder.

    Args:
        path: a folder that does not exist or is empty.
        key: the config key or option that names it, for the error.

    Raises:
        UserError: `path` holds files, another process was faster, or the folder cannot be written.
    """
    path = Path(path).absolute()
    if path.exists() and _holds_files(path):
        remedy = "choose a new folder, or remove this one"
        raise UserError("exists already and is not an empty folder", file=path, key=key, remedy=remedy)
    with _temporary_dir(path) as temporary:
        yield temporary
        sync_tree(temporary)
        if not _rename_dir(temporary, path):
            remedy = "run the same command again: it goes on from there"
            raise UserError("another process finished this first", file=path, key=key, remedy=remedy)
        sync_folder(path.parent)


def create_dir_once(path: str | Path, write: Callable[[Path], object]) -> Path:
    """Create a folder unless it exists; of several processes at once, the first to finish wins.

    Args:
        path: of the folder. A folder that holds anything is finished and stays as it is.
        write: is called with a temporary folder, and fills it.

    Returns:
        `path`.
    """
    path = Path(path)
    if not (path.exists() and _holds_files(path)):
        with _temporary_dir(path) as temporary:
            write(temporary)
            sync_tree(temporary)
            _rename_dir(temporary, path)
            sync_folder(path.parent)
    return path


def replace_dir(path: str | Path, write: Callable[[Path], object]) -> None:
    """Create or replace a folder.

    The old and the new folder change places in one step, so `path` always names one of them. A file system that cannot
    exchange names (NFS) needs two renames instead, and `path` does not exist between them. A reader sees half a folder on none.

    Args:
        path: of the folder.
        write: is called with a temporary folder, and fills it.
    """
    path, replaced = Path(path), []
    with _temporary_dir(path) as temporary:
        write(temporary)
        sync_tree(temporary)
        while not _rename_dir(temporary, path):
            if _exchange(temporary, path):
                break  # `temporary` is the old folder now
            replaced.append(_temporary_dir_name(path))
            with contextlib.suppress(FileNotFoundError):  # another process moved it away
                os.rename(path, replaced[-1])
        sync_folder(path.parent)
    for folder in replaced:
        shutil.rmtree(folder, ignore_errors=True)


def _sync_file(path: Path) -> None:
    with open(path, "rb") as file:
        os.fsync(file.fileno())


def _holds_files(path: Path) -> bool:
    return not path.is_dir() or any(path.iterdir())


def _exchange(a: Path, b: Path) -> bool:
    """Let two paths of one file system change places; False if the system cannot, or one is gone."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    return rename is not None and not rename(_AT_FDCWD, os.fsencode(a), _AT_FDCWD, os.fsencode(b), _RENAME_EXCHANGE)


@functools.cache
def _namespace() -> str:
    """Host, boot and namespace of process ids as 8 hex digits; empty where the system does not say."""
    process = ProcessIdentity.current()
    return hashlib.sha256(f"{process.host} {process.boot}".encode()).hexdigest()[:8] if process.boot else ""


def _temporary_dir_name(path: Path) -> Path:
    process = ProcessIdentity.current()
    owner = f"{_namespace()}-{process.pid}-{process.started}"
    return path.with_name(f"{path.name}.{owner}.{random_id()}.tmp")


@contextlib.contextmanager
def _temporary_dir(path: Path) -> Iterator[Path]:
    make_folder(path.parent)
    _remove_abandoned(path)
    temporary = _temporary_dir_name(path)
    try:
        with explained(path):
            temporary.mkdir()
        with explained(path, _FULL):
            yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _rename_dir(temporary: Path, path: Path) -> bool:
    """Rename onto a folder that is missing or empty; False if it holds files."""
    try:
        with explained(path):
            os.rename(temporary, path)
    except OSError as e:
        if e.errno not in _TAKEN:
            raise
        return False
    return True


def _remove_abandoned(path: Path) -> None:
    """Delete temporary folders of dead processes. Those of another host or container stay: their process may be alive."""
    if not _namespace():
        return
    name = re.compile(re.escape(path.name) + rf"\.{_namespace()}-(\d+)-(\d+)\.[0-9a-f]{{16}}\.tmp")
    current = ProcessIdentity.current()
    for other in path.parent.iterdir():
        match = name.fullmatch(other.name)
        if match and replace(current, pid=int(match[1]), started=int(match[2])).is_certainly_dead():
            shutil.rmtree(other, ignore_errors=True)
