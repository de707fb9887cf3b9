"""The user's cache: what takes seconds to make from an installed package is made once a machine.

A file appears whole or not at all. Two processes that find it missing both make it, and the second rename replaces equal
bytes by equal bytes: seconds lost now and then, and no lock that a killed process could leave behind.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from xner_ray.errors import UserError


def cache_dir() -> Path:
    """$XNER_CACHE, else the user's cache folder."""
    base = os.environ.get("XNER_CACHE") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "xner_ray"
    )
    return Path(base)


def create_file_once(name: str, write: Callable[[Path], object]) -> Path:
    """A file of the cache, filled by `write` beside its place and renamed. Its name must tell its content's version.

    Raises:
        UserError: the cache cannot be written, or has no room.
    """
    path = cache_dir() / name
    if path.exists():
        return path
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(prefix=f"{name}.", dir=path.parent, delete=False) as file:
            temporary = Path(file.name)
            write(temporary)
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        os.replace(temporary, path)
    except OSError as e:
        remedy = "make room, or set XNER_CACHE to a folder with write access"
        raise UserError(f"the cache cannot be written: {e}", file=path, remedy=remedy) from e
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
    return path
