"""Models that train in parallel Ray tasks end as those that train alone, and errors of a task arrive."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.harness.tiny_job import SilentBackend, make_job, without_dropout
from xner_ray.encoders.load import load_model
from xner_ray.errors import UserError
from xner_ray.training.backends import ray_tasks
from xner_ray.training.backends.dispatch import train_on_ray
from xner_ray.training.trainer import train


@pytest.fixture(scope="module")
def job(tiny_encoder, tmp_path_factory):
    return without_dropout(make_job(tiny_encoder, tmp_path_factory.mktemp("alone"), epochs=2))


def test_two_parallel_trainings_end_as_one_alone(ray_session, job, tmp_path):
    alone, result = train(job, SilentBackend(), device="cpu")
    other = replace(job, training=job.training.model_copy(update={"epochs": 1}))
    jobs = [replace(j, name=n, out=str(tmp_path / n)) for j, n in ((job, "long"), (other, "short"), (job, "again"))]
    lines: list[str] = []
    train_on_ray(jobs, tmp_path / "ray", log=lines.append)
    assert lines[0] == "[long] 3 models to train, 2 at a time on 1 CPU"
    assert any(line.startswith("[short] step ") for line in lines)
    saved = {j.name: json.loads((Path(j.out) / "training.json").read_text()) for j in jobs}
    assert saved["long"]["losses"] == saved["again"]["losses"] == pytest.approx(result.losses, abs=1e-4)
    assert len(saved["short"]["losses"]) * 2 == len(result.losses)
    weights = load_model(tmp_path / "long").state_dict()
    assert all(torch.allclose(weights[name], value, atol=1e-4) for name, value in alone.state_dict().items())
    lines.clear()
    train_on_ray(jobs, tmp_path / "ray", log=lines.append)
    assert lines == []  # all models are trained


def test_an_error_of_a_task_arrives(ray_session, job, tmp_path):
    damaged = replace(job, data=str(tmp_path / "damaged.npz"), out=str(tmp_path / "model"))
    (tmp_path / "damaged.npz").write_bytes(b"no archive")
    with pytest.raises(ValueError, match="pickle"):
        train_on_ray([damaged], tmp_path / "ray", log=[].append)
    assert not Path(damaged.out).exists()


def test_a_task_whose_process_died_too_often_is_an_error(job, tmp_path):
    progress, one = tmp_path / "train-x.log", replace(job, out=str(tmp_path / "model"))
    threads = torch.get_num_threads()  # train_here sets them for this whole process
    tries = ray_tasks._tries_file(progress, 0)
    ray_tasks.write_json(tries, {"tries": 1, "progress": [0, 0]})
    ray_tasks._train_part([one], progress, 0, threads, 300.0)
    assert progress.read_text().startswith(f"[{job.name}] its process died; try 2 of 4\n")
    assert (tmp_path / "model" / "training.json").exists() and json.loads(tries.read_text())["tries"] == 2
    left = replace(one, out=str(tmp_path / "other"), section="aligner.training")
    ray_tasks.write_json(tries, {"tries": ray_tasks.MAX_TRIES, "progress": [1, 0]})
    with pytest.raises(UserError, match="died 4 times") as e:
        ray_tasks._train_part([one, left], progress, 0, threads, 300.0)
    assert (e.value.file, e.value.key) == (left.out, "aligner.training.max_micro_batch_tokens")
    assert "ray.num_cpus" in e.value.remedy


def test_deaths_of_a_training_that_comes_further_are_no_error(job, tmp_path, monkeypatch):
    """Spot nodes end a training more often than MAX_TRIES."""
    progress, one = tmp_path / "train-x.log", replace(job, out=str(tmp_path / "model"))

    def die(jobs, *_):
        """Save a checkpoint of one more step, and end as a dead process does."""
        steps = ray_tasks.checkpoint_steps(jobs[0].checkpoint_folder) + 1
        jobs[0].checkpoint_folder.mkdir(exist_ok=True)
        (jobs[0].checkpoint_folder / "state.json").write_text(json.dumps({"result": {"losses": [1.0] * steps}}))
        raise KeyboardInterrupt

    monkeypatch.setattr(ray_tasks, "train_here", die)
    for _ in range(2 * ray_tasks.MAX_TRIES):
        with pytest.raises(KeyboardInterrupt):
            ray_tasks._train_part([one], progress, 0, 1, 300.0)
    assert set(progress.read_text().splitlines()) == {f"[{job.name}] its process died; try 2 of 4"}
    (one.checkpoint_folder / "state.json").unlink()
    monkeypatch.setattr(ray_tasks, "train_here", lambda *_: None)  # it dies without a checkpoint
    for _ in range(ray_tasks.MAX_TRIES - 1):
        ray_tasks._train_part([one], progress, 0, 1, 300.0)
    with pytest.raises(UserError, match="died 4 times"):
        ray_tasks._train_part([one], progress, 0, 1, 300.0)
