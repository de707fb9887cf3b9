"""Warnings about the models of a run: in the log, and for results.json."""

from types import SimpleNamespace

from xner_ray.alignment.decoding import Decoding
from xner_ray.alignment.projector_file import save_projector
from xner_ray.workflows import model_warnings as module
from xner_ray.workflows.model_warnings import collapsed_students, model_warnings


def row(f1, support=9):
    return {"language": "de", "student": {"f1": f1, "support": support}}


def test_a_student_that_finds_nothing_is_a_warning_even_if_zero_transfer_finds_nothing():
    (line,) = collapsed_students({"news": row(0.0), "talks": row(0.5), "empty": row(0.0, support=0)})
    assert "none of 9 entities of news" in line and "student.training.learning_rate" in line


def test_an_aligner_that_was_left_out_is_among_the_warnings_of_a_finished_run(tmp_path, monkeypatch):
    held_out = {"zh": {"aligner": 0.0, "similarity": 90.0, "similarity_weight": 1.0}}
    save_projector(tmp_path, Decoding(), held_out=held_out)
    file = tmp_path / "projector.json"
    file.write_text(file.read_text().replace('"similarity_weight": 0.0', '"similarity_weight": 0.7'))
    monkeypatch.setattr(module, "find_losses", lambda runner, evaluated: ["a loss"])
    lines: list[str] = []
    runner = SimpleNamespace(ctx=SimpleNamespace(log=lines.append), result=lambda stage: tmp_path)
    aligner, student, loss = model_warnings(runner, {"sets": {"news": row(0.0)}})
    assert aligner.startswith("zh: the trained aligner is left out") and loss == "a loss"
    assert lines == [f"[evaluate] warning: {student}"]
