"""Trainings lose a worker of Ray Train or a task, or gain a worker. Each ends like an undisturbed training."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch

from tests.harness.null_runs import RayHead, ray_head
from tests.harness.tiny_job import SilentBackend, make_job, without_dropout
from xner_ray.encoders.load import load_model
from xner_ray.training.job import TrainJob
from xner_ray.training.trainer import train

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
ROOT = Path(__file__).parents[2]


def undisturbed(encoder: Path, folder: Path, epochs: int) -> tuple[TrainJob, list[float]]:
    """A job, and the losses of its steps when one process trains it."""
    settings = {"epochs": epochs, "learning_rate": 1e-3, "max_micro_batch_tokens": 64}
    job = without_dropout(make_job(encoder, folder / "alone", rows=400, **settings))
    _, result = train(job, SilentBackend(), device="cpu")
    return job, result.losses


def epochs_for(seconds: float, encoder: Path, folder: Path) -> int:
    """The number of epochs that one process trains in `seconds`.

    Machines differ by a factor of four in training speed, but a new node starts equally fast on all of them.
    """
    undisturbed(encoder, folder, epochs=1)
    started = time.monotonic()
    undisturbed(encoder, folder, epochs=4)
    return min(max(20, int(seconds / (time.monotonic() - started) * 4)), 120)


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


def workers_of(head: RayHead, title: str = "RayTrainWorker") -> list[psutil.Process]:
    """The worker processes of a Ray head whose titles contain `title`."""
    workers = []
    for process in psutil.Process(head.pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if title in " ".join(process.cmdline()):
                workers.append(process)
    return workers


@contextlib.contextmanager
def another_node(head: RayHead) -> Iterator[None]:
    """Start another node with one CPU."""
    command = [str(Path(sys.executable).with_name("ray")), "start", f"--address={head.address}", "--block"]
    command += ["--num-cpus=1", "--disable-usage-stats", f"--object-store-memory={100 * 2**20}"]
    env = {**os.environ, "RAY_AUTH_MODE": "disabled", "PYTHONPATH": str(ROOT)}
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    node = subprocess.Popen(command, env=env, **quiet, start_new_session=True)
    try:
        yield
    finally:
        os.killpg(node.pid, signal.SIGKILL)
        node.wait(30)


def same_end(losses: list[float], expected: list[float]) -> bool:
    return np.mean(losses[-50:]) == pytest.approx(np.mean(expected[-50:]), rel=0.05, abs=0.005)


def test_training_resumes_after_a_killed_worker(tiny_encoder, tmp_path):
    job, expected = undisturbed(tiny_encoder, tmp_path, epochs=30)
    with ray_head(cpus=2) as head:
        training = Training([job], tmp_path, head, resources={"workers": 2}, checkpoint_seconds=2.0)
        training.wait(training.checkpoints)
        two = workers_of(head)
        assert len(two) == 2
        two[-1].kill()
        (losses,) = training.losses()
    assert len(losses) == len(expected) and losses[:20] == pytest.approx(expected[:20], abs=1e-3)
    ((step, workers),) = training.resumed()
    assert step > 0 and workers == 2
    assert same_end(losses, expected) and np.mean(losses[-50:]) < 0.5 * np.mean(losses[:20])
    assert len(training.checkpoints()) == 1  # old checkpoints are deleted
    print(
        f"\nwent on at step {step} of {len(losses)}; last losses {np.mean(losses[-50:]):.4f}, {np.mean(expected[-50:]):.4f}"
    )


def test_group_grows_when_a_node_joins(tiny_encoder, tmp_path):
    # A node and its worker need 20 to 45 seconds to start. Meanwhile the first worker goes on.
    job, expected = undisturbed(tiny_encoder, tmp_path, epochs=epochs_for(40, tiny_encoder, tmp_path))
    with ray_head(cpus=1) as head:
        resources = {"workers": 2, "min_workers": 1}
        training = Training([job], tmp_path, head, resources=resources, checkpoint_seconds=1.0)
        training.wait(training.checkpoints)
        assert len(workers_of(head)) == 1
        start = time.monotonic()
        with another_node(head):
            training.wait(training.resumed)
            grown = time.monotonic() - start
            (losses,) = training.losses()
    (step, workers), *more = training.resumed()
    assert step > 0 and workers == 2 and not more
    assert len(losses) == len(expected) and same_end(losses, expected)
    print(
        f"\n2 workers {grown:.0f} s after the node was started, from step {step} of {len(losses)}; last losses"
        f" {np.mean(losses[-50:]):.4f}, {np.mean(expected[-50:]):.4f}"
    )


def test_parallel_trainings_survive_a_killed_task(tiny_encoder, tmp_path):
    """Three models train on two CPUs, in two tasks. The largest model has a task of its own. Each ends as it does alone."""
    big, expected = undisturbed(tiny_encoder, tmp_path, epochs=40)
    short = replace(big, name="short", training=big.training.model_copy(update={"epochs": 2}))
    jobs = [short, replace(big, name="big"), replace(short, name="shorter")]
    with ray_head(cpus=2) as head:
        training = Training(jobs, tmp_path, head, checkpoint_seconds=1.0)
        checkpoint = Path(f"{training.outs[1]}.checkpoint") / "state.json"
        training.wait(
            lambda: checkpoint.exists() and all((training.outs[i] / "training.json").exists() for i in (0, 2))
        )
        # The process of the other task has finished.
        training.wait(lambda: len(workers_of(head, "ray::train:")) == 1)
        workers_of(head, "ray::train:")[0].kill()
        first, losses, last = training.losses()
    assert losses[:20] == pytest.approx(expected[:20], abs=1e-3) and len(losses) == len(expected)
    assert same_end(losses, expected) and first == last and len(first) * 20 == len(losses)
    ((step, workers),) = training.resumed()
    assert step > 0 and workers == 1 and "its process died; try 2 of 4" in training.log.read_text()
    assert not checkpoint.parent.exists()
    weights = [load_model(out).state_dict() for out in training.outs]
    assert all(torch.equal(weights[0][name], weights[2][name]) for name in weights[0])
    assert any(not torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
