"""Two workers of a local Ray train together without a port that another machine reaches."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from tests.harness.tiny_job import make_job

ROOT = Path(__file__).parents[2]
LOOPBACK = {"127.0.0.1", "::1", "::ffff:127.0.0.1"}


@pytest.mark.slow
def test_a_worker_group_of_a_local_ray_listens_on_loopback_only(tiny_encoder, tmp_path):
    job = make_job(Path(tiny_encoder), tmp_path / "job", epochs=20)
    arguments = tmp_path / "arguments.json"
    content = {"jobs": [job.to_dict()], "resources": {"workers": 2}, "storage": str(tmp_path / "storage")}
    arguments.write_text(json.dumps(content))
    env = {k: v for k, v in os.environ.items() if k != "RAY_ADDRESS"} | {"PYTHONPATH": str(ROOT)}
    driver = subprocess.Popen(
        [sys.executable, "-m", "tests.harness.train_driver", str(arguments)],
        env=env, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    ended, found = threading.Event(), {}

    def watch() -> None:
        while not ended.wait(0.3):
            pids = {driver.pid, *(p.pid for p in psutil.Process(driver.pid).children(recursive=True))}
            for c in psutil.net_connections("inet"):
                if c.pid in pids and c.status == psutil.CONN_LISTEN:
                    found.setdefault(c.laddr.ip, set()).add(c.laddr.port)

    watcher = threading.Thread(target=watch)
    watcher.start()
    output = driver.communicate(timeout=280)[0]
    ended.set()
    watcher.join()
    assert driver.returncode == 0, output[-3000:]
    assert (Path(job.out) / "model.safetensors").exists() and "starts 2 workers" in output
    assert set(found) <= LOOPBACK and sum(map(len, found.values())) > 10, found
