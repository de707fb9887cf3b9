"""Models train on one GPU each, as many at a time as GPUs are up. The GPUs are fake, so the models train on the CPU."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.harness.null_runs import ray_head
from tests.harness.own_process import run_in_own_process
from tests.harness.tiny_job import make_job
from xner_ray.training.backends.dispatch import train_on_ray
from xner_ray.training.job import TrainJob

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def train_on_two_gpus(jobs: list[TrainJob], storage: Path) -> list[str]:
    """Train models on a Ray with two fake GPUs; the progress lines."""
    import ray

    lines: list[str] = []
    with ray_head(2, "--num-gpus=2") as head:
        ray.init(head.address, log_to_driver=False)
        try:
            train_on_ray(jobs, storage, log=lines.append)
        finally:
            ray.shutdown()
    return lines


def test_three_models_train_on_two_gpus(tiny_encoder, tmp_path):
    job = make_job(tiny_encoder, tmp_path, epochs=1)
    jobs = [replace(job, name=name, out=str(tmp_path / name)) for name in ("a", "b", "c")]
    lines = run_in_own_process(train_on_two_gpus, jobs, tmp_path / "ray")
    assert lines[0] == "[a] 3 models to train, one GPU each"
    losses = [json.loads((Path(job.out) / "training.json").read_text())["losses"] for job in jobs]
    assert losses[0] == losses[1] == losses[2] and losses[0]
