"""Store tests sync to the disk hundreds of times: in memory they take seconds, even where the disk is busy."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest


@pytest.fixture
def tmp_path(tmp_path):
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=memory, prefix="xner-test-") as folder:
        yield Path(folder)
