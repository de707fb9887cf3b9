"""The pipeline as a Ray job, as users run it on a cluster."""

import json
import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from tests.harness.null_runs import free_port, ray_head

REPO = Path(__file__).parents[2]


@pytest.fixture
def head():
    """A Ray head with a dashboard; the address of the dashboard."""
    dashboard = free_port()
    address = f"http://127.0.0.1:{dashboard}"
    options = [
        "--include-dashboard=true", f"--dashboard-port={dashboard}", f"--dashboard-agent-grpc-port={free_port()}",
        f"--object-store-memory={300 * 2**20}",
    ]  # fmt: skip
    with ray_head(2, *options):
        deadline = time.monotonic() + 300
        while not _answers(address):
            assert time.monotonic() < deadline, "the dashboard did not come up"
            time.sleep(1)
        yield address


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/api/version", timeout=2):
            return True
    except OSError:
        return False


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_pipeline_runs_as_a_job(head, tmp_path):
    out = tmp_path / "out"
    command = [
        str(Path(sys.executable).with_name("ray")), "job", "submit", "--address", head, "--runtime-env", "runtime_env.yaml",
        "--", sys.executable, "jobs/pipeline.py", "configs/tiny.yaml", f"out={out}",
    ]  # fmt: skip
    env = {k: v for k, v in os.environ.items() if k != "RAY_ADDRESS"} | {"RAY_AUTH_MODE": "disabled"}
    done = subprocess.run(command, cwd=REPO, env=env, capture_output=True, text=True, timeout=1500)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "ok       cluster: a Ray of 1 nodes at " in done.stdout  # the preflight writes to the job's log
    results = json.loads((out / "results.json").read_text())
    assert set(results["languages"]) == {"de", "zh"}
    assert results["ledger"]["read"] == 80
