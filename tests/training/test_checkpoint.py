"""A saved model is complete, and its stage folder is committed by the process that saved it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.harness.tiny_job import LABELS, make_job
from xner_ray.encoders.load import load_model
from xner_ray.encoders.model_languages import stored_languages
from xner_ray.ner.external_teacher import adopt_model
from xner_ray.ner.label_normalizer import is_bio2, output_labels
from xner_ray.storage.stage_dir import MARKER
from xner_ray.training.checkpoint import is_trained, save_model
from xner_ray.training.job import Result, TrainJob


@pytest.fixture
def job(tiny_encoder, tmp_path):
    return make_job(tiny_encoder, tmp_path)


def test_a_job_without_a_marker_commits_nothing(job):
    assert not is_trained(job)
    save_model(load_model(job.start, LABELS), job, Result([0.5], 7, 1.0))
    assert is_trained(job) and not (Path(job.out).parent / MARKER).exists()


def test_a_job_with_a_marker_commits_its_folder_when_the_model_is_complete(job):
    job = replace(job, marker={"stage": "student"})
    checkpoint = Path(job.out + ".checkpoint")
    checkpoint.mkdir()
    (checkpoint / "state.json").write_text("{}")
    assert not is_trained(job)
    save_model(load_model(job.start, LABELS), job, Result([0.5], 7, 1.0))
    marker = json.loads((Path(job.out).parent / MARKER).read_text())
    assert marker["stage"] == "student"
    assert {"model/model.safetensors", "model/config.json", "model/training.json"} <= set(marker["files"])
    assert not any("checkpoint" in name for name in marker["files"])
    assert is_trained(job) and not checkpoint.exists()


def test_a_model_that_is_not_committed_is_trained_again(job):
    save_model(load_model(job.start, LABELS), job, Result())
    assert not is_trained(replace(job, marker={}))


def test_the_marker_survives_the_way_to_a_worker_and_is_no_part_of_the_identity(job):
    marked = replace(job, marker={"stage": "student"})
    assert TrainJob.from_dict(marked.to_dict()) == marked
    assert marked.identity() == job.identity() and "marker" not in job.identity()
    assert replace(job, section="student.training").identity() == job.identity()


def test_a_model_does_not_take_the_labels_of_an_adopted_model_that_it_started_from(job, tmp_path):
    save_model(load_model(job.start, LABELS), replace(job, languages=["en"]), Result())
    adopted = adopt_model(Path(job.out), tmp_path / "adopted", {"X": "LOC"}, (), ["en"])
    assert output_labels(adopted) == ["O", "B-LOC", "I-LOC"] and is_bio2(adopted)
    second = replace(job, start=str(adopted), out=str(tmp_path / "second"), languages=["en"])
    save_model(load_model(adopted, LABELS), second, Result())
    assert output_labels(second.out) == LABELS and is_bio2(second.out)


def test_a_model_names_its_languages_and_not_those_of_the_model_that_it_started_from(job, tmp_path):
    save_model(load_model(job.start, LABELS), replace(job, languages=["en"]), Result())
    assert stored_languages(job.out) == ["en"]
    for languages in (["zh"], []):
        other = replace(job, start=job.out, out=str(tmp_path / f"other{len(languages)}"), languages=languages)
        save_model(load_model(other.start, LABELS), other, Result())
        assert stored_languages(other.out) == languages
