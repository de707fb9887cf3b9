"""A node is lost while pools on GPUs stream, another comes: the same rows, ledger and bytes."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.harness.ordeal import Ordeal, contents

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_a_lost_node(tmp_path):
    ordeal = Ordeal(tmp_path, address=None, pairs=600)
    wanted = ordeal.new_out()
    ordeal.finish(wanted)
    out = ordeal.new_out(wanted)
    env = {k: v for k, v in os.environ.items() if k != "RAY_ADDRESS"} | {"RAY_AUTH_MODE": "disabled"}
    done = subprocess.run(
        [sys.executable, "-m", "tests.harness.nodes_driver", str(out.with_suffix(".yaml"))],
        env=env,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    assert "a node was lost" in done.stdout
    assert contents(out) == contents(wanted)
