"""Folders that are made once and appear whole, however many processes ask for them at the same time."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path


def create_once(folder: Path, write: Callable[[Path], object]) -> Path:
    """The encoder folder, filled by `write` beside its place and renamed; its config.json says that all is there."""
    if (folder / "config.json").exists():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=folder.name + ".", dir=folder.parent))
    try:
        write(made)
        made.chmod(0o755)
        os.rename(made, folder)
    except OSError:
        if not (folder / "config.json").exists():  # else another process was faster, and its folder is as good
            raise
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return folder
