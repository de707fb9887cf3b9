"""The user's cache folder: files and folders that are made once on a machine from an installed package.

Two processes that find a file missing both make it, and the second rename replaces equal bytes by equal bytes. That needs no
lock, which a killed process could leave behind.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from xner_ray.errors import UserError
from xner_ray.storage.atomic import replace_file


def cache_dir() -> Path:
    """$XNER_CACHE, else `xner_ray` in $XDG_CACHE_HOME or `~/.cache`."""
    base = os.environ.get("XNER_CACHE") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "xner_ray"
    )
    return Path(base)


def create_file_once(name: str, write: Callable[[Path], object]) -> Path:
    """Create a file of the cache unless it exists.

    Args:
        name: of the file. It has to name the version of the content.
        write: is called with a temporary path, and writes the file there.

    Returns:
        The path of the file.

    Raises:
        UserError: the cache cannot be written, or has no space.
    """
    path = cache_dir() / name
    if path.exists():
        return path
    try:
        replace_file(path, write)
    except (OSError, UserError) as e:
        problem = e.problem if isinstance(e, UserError) else str(e)
        remedy = "free space, or set XNER_CACHE to a folder with write access"
        raise UserError(f"the cache cannot be written: {problem}", file=path, remedy=remedy) from e
    return path
