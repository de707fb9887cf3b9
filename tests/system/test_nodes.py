"""A node with a GPU is lost during labeling and another one starts: rows, ledger and bytes are the same."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.harness.null_runs import NullRuns, contents

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_lost_node_changes_nothing(tmp_path):
    runs = NullRuns(tmp_path, address=None, pairs=600)
    expected = runs.new_out()
    runs.finish(expected)
    out = runs.new_out(expected)
    env = {k: v for k, v in os.environ.items() if k != "RAY_ADDRESS"} | {"RAY_AUTH_MODE": "disabled"}
    done = subprocess.run(
        [sys.executable, "-m", "tests.harness.nodes_driver", str(out.with_suffix(".yaml"))],
        env=env,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    assert "a node was lost and a new one started" in done.stdout
    assert contents(out) == contents(expected)
