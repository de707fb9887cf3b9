"""A node is lost while pools on GPUs stream, another comes: the same rows, ledger and bytes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from ordeal import Ordeal, contents

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_a_lost_node(tmp_path):
    ordeal = Ordeal(tmp_path, address=None, pairs=600)
    wanted = ordeal.new_out()
    ordeal.finish(wanted)
    out = ordeal.new_out(wanted)
    env = {k: v for k, v in os.environ.items() if k != "RAY_ADDRESS"} | {"RAY_AUTH_MODE": "disabled"}
    script = Path(__file__).with_name("nodes_driver.py")
    done = subprocess.run(
        [sys.executable, str(script), str(out.with_suffix(".yaml"))],
        env=env,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    assert "a node was lost" in done.stdout
    assert contents(out) == contents(wanted)
