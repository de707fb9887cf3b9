"""A saved model is complete, and its stage folder is committed by the process that saved it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.harness.tiny_job import LABELS, make_job
from xner_ray.encoders.load import load_model
from xner_ray.storage import stage_dir
from xner_ray.training.checkpoint import is_trained, save_model
from xner_ray.training.job import Result, TrainJob


@pytest.fixture
def job(tiny_encoder, tmp_path):
    return make_job(tiny_encoder, tmp_path)


@pytest.fixture
def committed(monkeypatch):
    """Calls of `commit_dir`, each with the files that the model folder had by then."""
    calls = []

    def commit_dir(path: Path, marker: dict) -> None:
        calls.append((path, marker, {file.name for file in (path / "model").iterdir()}))
        (path / "done.json").write_text("{}")

    monkeypatch.setattr(stage_dir, "commit_dir", commit_dir, raising=False)
    return calls


def test_a_job_without_a_marker_commits_nothing(job, committed):
    assert not is_trained(job)
    save_model(load_model(job.start, LABELS), job, Result([0.5], 7, 1.0))
    assert is_trained(job) and committed == []


def test_a_job_with_a_marker_commits_its_folder_when_the_model_is_complete(job, committed):
    job = replace(job, marker={"stage": "student"})
    checkpoint = Path(job.out + ".checkpoint")
    checkpoint.mkdir()
    assert not is_trained(job)
    save_model(load_model(job.start, LABELS), job, Result([0.5], 7, 1.0))
    ((path, marker, files),) = committed
    assert path == Path(job.out).parent and marker == {"stage": "student"}
    assert {"model.safetensors", "config.json", "training.json"} <= files
    assert is_trained(job) and not checkpoint.exists()


def test_a_model_that_is_not_committed_is_trained_again(job, committed):
    save_model(load_model(job.start, LABELS), job, Result())
    assert not is_trained(replace(job, marker={}))


def test_the_marker_survives_the_way_to_a_worker_and_is_no_part_of_the_identity(job):
    marked = replace(job, marker={"stage": "student"})
    assert TrainJob.from_dict(marked.to_dict()) == marked
    assert marked.identity() == job.identity() and "marker" not in job.identity()
