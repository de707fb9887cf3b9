"""Reports, exports and uploads refuse models and training files that were changed after their commit."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness.small_run import make_run
from xner_ray.errors import UserError
from xner_ray.evaluation.tagger_scores import evaluate_model
from xner_ray.results.export.onnx import export_onnx
from xner_ray.results.run_results import RunResults
from xner_ray.storage.stage_dir import commit_dir


@pytest.fixture
def run(tmp_path) -> RunResults:
    made = make_run(tmp_path / "out")
    for file in [*made.datasets.values(), *(student.folder for student in made.students)]:
        commit_dir(file.parent, {})
    return RunResults.open(tmp_path / "out")


def flip(file: Path) -> Path:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    return file


def test_unchanged_files_are_read(run):
    assert set(run.datasets) == {"de", "zh"} == {student.language for student in run.students}


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_an_edited_student_is_refused(run, name):
    file = flip(run.students[0].folder / name)
    with pytest.raises(UserError) as e:
        RunResults.open(run.out).students  # noqa: B018 - the property raises
    assert e.value.file == file and f"delete {file.parent.parent}" in e.value.remedy


def test_an_edited_training_file_is_refused(run):
    file = flip(run.datasets["de"])
    with pytest.raises(UserError) as e:
        RunResults.open(run.out).datasets  # noqa: B018 - the property raises
    assert e.value.file == file


def test_an_edited_student_is_not_exported(run, tmp_path):
    pytest.importorskip("onnx")
    file = flip(run.students[0].folder / "model.safetensors")
    with pytest.raises(UserError) as e:
        export_onnx(file.parent, tmp_path / "onnx")
    assert e.value.file == file and not (tmp_path / "onnx").exists()


def test_an_edited_student_is_not_evaluated(run):
    file = flip(run.students[0].folder / "model.safetensors")
    with pytest.raises(UserError) as e:
        evaluate_model(str(file.parent), str(run.out / "sample" / "gold" / "de.eval.conll"), "de")
    assert e.value.file == file
