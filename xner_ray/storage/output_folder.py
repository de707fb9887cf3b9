"""A folder that appears whole or not at all: exports are written beside it and renamed."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from xner_ray.errors import UserError


@contextlib.contextmanager
def new_folder(out: str | Path) -> Iterator[Path]:
    """A hidden folder to write into, which becomes `out` at the end; an error removes it.

    Args:
        out: a folder that is not there yet, or empty.

    Raises:
        UserError: `out` holds something.
    """
    out = Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError("is there already", file=out, key="--out", remedy="give a new folder, or empty this one")
    out.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        yield made
        made.chmod(0o755)
        if out.exists():
            out.rmdir()
        os.rename(made, out)
    finally:
        shutil.rmtree(made, ignore_errors=True)
