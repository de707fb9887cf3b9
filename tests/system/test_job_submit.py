"""`ray job submit` on a real head: the way that users run it on a cluster."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

REPO = Path(__file__).parents[2]


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@pytest.fixture
def head(tmp_path_factory):
    """A Ray head of its own with a dashboard; gives the dashboard's address. Every port is chosen, none is a default."""
    dashboard, gcs = free_port(), free_port()
    folder = tmp_path_factory.mktemp("ray")
    command = [
        str(Path(sys.executable).with_name("ray")), "start", "--head", "--block", "--disable-usage-stats", "--num-cpus=2",
        f"--port={gcs}", f"--dashboard-port={dashboard}", f"--dashboard-agent-listen-port={free_port()}",
        f"--dashboard-agent-grpc-port={free_port()}", f"--ray-client-server-port={free_port()}", "--temp-dir=" + str(folder),
        f"--object-store-memory={300 * 2**20}",
    ]  # fmt: skip
    env = {**os.environ, "RAY_AUTH_MODE": "disabled"}
    log = (folder / "head.log").open("w")
    process = subprocess.Popen(command, env=env, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
    address = f"http://127.0.0.1:{dashboard}"
    try:
        deadline = time.monotonic() + 300
        while not _answers(address):
            assert process.poll() is None, (folder / "head.log").read_text()[-2000:]
            assert time.monotonic() < deadline, "the dashboard did not come up"
            time.sleep(1)
        yield address
    finally:
        # The head's children share its process group; on a starved machine it does not end them within any decent time.
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(60)
        log.close()


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/api/version", timeout=2):
            return True
    except OSError:
        return False


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_pipeline_as_a_job(head, tmp_path):
    out = tmp_path / "out"
    command = [
        str(Path(sys.executable).with_name("ray")), "job", "submit", "--address", head, "--runtime-env", "runtime_env.yaml",
        "--", sys.executable, "jobs/pipeline.py", "configs/tiny.yaml", f"out={out}",
    ]  # fmt: skip
    env = {k: v for k, v in os.environ.items() if k != "RAY_ADDRESS"} | {"RAY_AUTH_MODE": "disabled"}
    done = subprocess.run(command, cwd=REPO, env=env, capture_output=True, text=True, timeout=1500)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "ok       cluster: a Ray of 1 nodes at " in done.stdout  # the preflight, in the job's log
    results = json.loads((out / "results.json").read_text())
    assert set(results["languages"]) == {"de", "zh"}
    assert results["ledger"]["read"] == 80
