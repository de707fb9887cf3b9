"""Trainings as Ray tasks: side by side they are what they are alone, and what goes wrong in one is told."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.harness.tiny_job import Silent, make_job, without_dropout
from xner_ray.encoders.load import load_model
from xner_ray.errors import UserError
from xner_ray.training.backends import ray_tasks as tasks
from xner_ray.training.backends.ray_train import fit
from xner_ray.training.trainer import train


@pytest.fixture(scope="module")
def job(tiny_encoder, tmp_path_factory):
    return without_dropout(make_job(tiny_encoder, tmp_path_factory.mktemp("alone"), epochs=2))


def test_two_at_a_time_are_as_alone(ray_session, job, tmp_path):
    alone, result = train(job, Silent(), device="cpu")
    other = replace(job, training=job.training.model_copy(update={"epochs": 1}))
    jobs = [replace(j, name=n, out=str(tmp_path / n)) for j, n in ((job, "long"), (other, "short"), (job, "again"))]
    said: list[str] = []
    fit(jobs, tmp_path / "ray", log=said.append)
    assert said[0] == "[long] 3 models to train, 2 at a time on 1 CPU"
    assert any(line.startswith("[short] step ") for line in said)
    told = {j.name: json.loads((Path(j.out) / "training.json").read_text()) for j in jobs}
    assert told["long"]["losses"] == told["again"]["losses"] == pytest.approx(result.losses, abs=1e-4)
    assert len(told["short"]["losses"]) * 2 == len(result.losses)
    weights = load_model(tmp_path / "long").state_dict()
    assert all(torch.allclose(weights[name], value, atol=1e-4) for name, value in alone.state_dict().items())
    said.clear()
    fit(jobs, tmp_path / "ray", log=said.append)
    assert said == []


def test_what_a_task_raises_arrives(ray_session, job, tmp_path):
    lost = replace(job, data=str(tmp_path / "gone.npz"), out=str(tmp_path / "lost"))
    (tmp_path / "gone.npz").write_bytes(b"this is no archive")
    with pytest.raises(ValueError, match="pickle"):
        fit([lost], tmp_path / "ray", log=[].append)
    assert not Path(lost.out).exists()


def test_a_task_is_not_tried_for_ever(job, tmp_path):
    progress, one = tmp_path / "train-x.log", replace(job, out=str(tmp_path / "model"))
    threads = torch.get_num_threads()  # of this process, which other tests go on in
    tries = tasks._tries(progress, 0)
    tries.write_bytes(b"\0")
    tasks._train([one], progress, 0, threads, 300.0)
    assert progress.read_text().startswith(f"[{job.name}] its process died; try 2 of 4\n")
    assert (tmp_path / "model" / "training.json").exists() and tries.stat().st_size == 2
    tries.write_bytes(bytes(tasks.TRIES))
    with pytest.raises(UserError, match="died 4 times") as e:
        tasks._train([one], progress, 0, threads, 300.0)
    assert "ray.num_cpus" in e.value.remedy
