"""Trainings in Ray Train groups that a test disturbs, and the same trainings undisturbed."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from tests.harness.null_runs import ROOT, RayHead
from tests.harness.tiny_job import SilentBackend, make_job, without_dropout
from xner_ray.training.job import TrainJob
from xner_ray.training.trainer import train


def undisturbed(encoder: Path, folder: Path, epochs: int) -> tuple[TrainJob, list[float]]:
    """A job, and the losses of its steps when one process trains it."""
    settings = {"epochs": epochs, "learning_rate": 1e-3, "max_micro_batch_tokens": 64}
    job = without_dropout(make_job(encoder, folder / "alone", rows=400, **settings))
    _, result = train(job, SilentBackend(), device="cpu")
    return job, result.losses


class Training:
    """A driver that trains jobs. Its output goes to the file `log`."""

    def __init__(self, jobs: Sequence[TrainJob], folder: Path, head: RayHead, **arguments: Any):
        self.outs = [folder / f"model{i}" for i in range(len(jobs))]
        self.storage, self.log = folder / "ray_train", folder / "log"
        outs = zip(jobs, self.outs, strict=True)
        jobs_json = [replace(job, out=str(out)).to_dict() for job, out in outs]
        (folder / "job.json").write_text(json.dumps({"jobs": jobs_json, "storage": str(self.storage), **arguments}))
        env = {**os.environ, "RAY_ADDRESS": head.address, "RAY_AUTH_MODE": "disabled"}
        command = [sys.executable, "-m", "tests.harness.train_driver", str(folder / "job.json")]
        with self.log.open("w") as log:
            self.driver = subprocess.Popen(command, env=env, stdout=log, stderr=subprocess.STDOUT)

    def wait(self, test: Callable[[], Any], timeout: float = 120) -> None:
        deadline = time.monotonic() + timeout
        while not test():
            assert self.driver.poll() is None and time.monotonic() < deadline, self.log.read_text()[-3000:]
            time.sleep(0.2)

    def checkpoints(self) -> list[str]:
        """The checkpoints that Ray Train has recorded. A folder without a record may be incomplete."""
        files = self.storage.glob("train-*/checkpoint_manager_snapshot.json")
        return [x["checkpoint_dir_name"] for f in files for x in json.loads(f.read_text())["checkpoint_results"]]

    def losses(self) -> list[list[float]]:
        """Wait for the end of the driver; returns the losses of each model."""
        try:
            assert self.driver.wait(240) == 0, self.log.read_text()[-3000:]
        finally:
            self.driver.kill()
        return [json.loads((out / "training.json").read_text())["losses"] for out in self.outs]

    def resumed(self) -> list[tuple[int, int]]:
        """The step and the number of workers of each resume."""
        resumes = re.findall(r"continues at step (\d+)/\d+ on (\d+) worker", self.log.read_text())
        return [(int(step), int(workers)) for step, workers in resumes]


def workers_of(pid: int, title: str = "RayTrainWorker") -> list[psutil.Process]:
    """The worker processes below a process whose titles contain `title`."""
    workers = []
    for process in psutil.Process(pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if title in " ".join(process.cmdline()):
                workers.append(process)
    return workers


@contextlib.contextmanager
def another_node(head: RayHead, *options: str, env: Mapping[str, str] | None = None) -> Iterator[int]:
    """Start another node of a Ray head.

    Args:
        head: of the cluster.
        *options: of `ray start`.
        env: further environment variables of the node and its workers.

    Yields:
        a process from which all processes of the node descend.
    """
    command = [str(Path(sys.executable).with_name("ray")), "start", f"--address={head.address}", "--block"]
    command += [*(options or ["--num-cpus=1"]), "--disable-usage-stats", f"--object-store-memory={100 * 2**20}"]
    variables = {**os.environ, "RAY_AUTH_MODE": "disabled", "PYTHONPATH": str(ROOT), **(env or {})}
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    node = subprocess.Popen(command, env=variables, **quiet, start_new_session=True)
    try:
        yield node.pid
    finally:
        os.killpg(node.pid, signal.SIGKILL)
        node.wait(30)


def wait_for_nodes(head: RayHead, count: int) -> None:
    """Wait until so many nodes of a cluster are up."""
    from ray._raylet import GcsClient
    from ray.core.generated.gcs_pb2 import GcsNodeInfo

    client, deadline = GcsClient(head.address), time.monotonic() + 120
    while sum(node.state == GcsNodeInfo.ALIVE for node in client.get_all_node_info().values()) < count:
        assert time.monotonic() < deadline, f"fewer than {count} nodes"
        time.sleep(0.5)


def same_end(losses: list[float], expected: list[float]) -> bool:
    return np.mean(losses[-50:]) == pytest.approx(np.mean(expected[-50:]), rel=0.05, abs=0.005)
