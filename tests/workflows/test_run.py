"""A run holds its output directory, and a plan names what is missing."""

from __future__ import annotations

import os
import socket
import threading
from types import SimpleNamespace

import pytest

from xner_ray.config import Config
from xner_ray.errors import UserError
from xner_ray.pipeline.runner import Runner
from xner_ray.pipeline.stage import Stage
from xner_ray.pipeline.stages.student import Student
from xner_ray.results.run_results import find_student
from xner_ray.storage.lock import hold_output
from xner_ray.workflows.plan import plan_run
from xner_ray.workflows.run import link_models, run


@pytest.fixture
def config(tmp_path) -> Config:
    corpora = [{"name": "a", "format": "moses", "path": "{data}/a.{pair}.zip"}]
    return Config(
        name="t",
        out=str(tmp_path / "out"),
        languages=["de", "zh"],
        sample={"pairs": 10, "gold_sentences": 5, "eval_sentences": 5},
        gold=[{"path": "{data}/gold/en.train.conll"}],
        evaluation=[{"path": str(tmp_path / "de.conll"), "language": "de"}],
        corpora=corpora,
    )


def test_second_run_names_the_holder(config, tmp_path):
    (tmp_path / "out").mkdir()
    run(config, "mine.yaml", ["sample"], log=lambda line: None)
    with hold_output(config.out, lambda line: None), pytest.raises(UserError) as e:
        run(config, "mine.yaml", ["sample"], log=lambda line: None)
    assert socket.gethostname() in e.value.problem and "process" in e.value.problem and "since" in e.value.problem
    assert "--wait" in (e.value.remedy or "")


def test_second_run_can_wait(config):
    run(config, "mine.yaml", ["sample"], log=lambda line: None)
    release, lines = threading.Event(), []

    def hold() -> None:
        with hold_output(config.out, lambda line: None):
            held.set()
            release.wait(30)

    held = threading.Event()
    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(30)

    def log(line: str) -> None:
        lines.append(line)
        release.set()  # the second run says that it waits

    run(config, "mine.yaml", ["sample"], log=log, wait=True)
    holder.join()
    assert any("wait" in line for line in lines)


def test_unknown_stage_is_an_error_before_anything_is_written(config, tmp_path):
    with pytest.raises(UserError) as e:
        run(config, "mine.yaml", ["dance"])
    assert "dance" in e.value.problem and "ingest" in e.value.remedy and not (tmp_path / "out").exists()


def test_plan_reports_missing_files_but_not_those_that_the_sample_makes(config, tmp_path):
    plan = plan_run(config, "mine.yaml", lambda line: None)
    assert [(e.key, e.file) for e in plan.problems] == [("evaluation.0.path", tmp_path / "de.conll")]
    assert "mine.yaml" in (plan.problems[0].remedy or "")
    assert not (tmp_path / "out").exists(), "plan writes nothing"


def test_plan_reports_corpora_models_and_gold(config, tmp_path):
    changes = {
        "sample": None,
        "data": str(tmp_path / "none"),
        "teacher": config.teacher.model_copy(update={"encoder": "/no/such/model"}),
        "aligner": config.aligner.model_copy(update={"lexicon": str(tmp_path / "none" / "{language}.tsv")}),
    }
    problems = plan_run(config.model_copy(update=changes), "mine.yaml", lambda line: None).problems
    assert {e.key for e in problems} == {
        "gold.0.path",
        "evaluation.0.path",
        "corpora.0.path",
        "teacher.encoder",
        "aligner.lexicon",
    }
    files = {str(e.file) for e in problems if e.key == "corpora.0.path"}
    assert files == {str(tmp_path / "none" / f"a.{pair}.zip") for pair in ("de-en", "en-zh")}


class Made(Stage):
    """A stage without pieces, whose result is given."""

    needs = ()

    def __init__(self, name: str, made: object):
        self.name, self.made = name, made

    def pieces(self, ctx, inputs):
        return []

    def run(self, ctx, inputs, todo):
        raise AssertionError("nothing is to do")

    def result(self, ctx, inputs, done):
        return self.made


def test_links_point_to_the_models_of_the_last_run_and_run_no_stage(config, tmp_path):
    out = tmp_path / "out"
    models = {
        name: out / name for name in ("aligner/1/model", "student/de/1/model", "student/de/2/model", "teacher/s/model")
    }
    for folder in models.values():
        folder.mkdir(parents=True)
        (folder / "config.json").write_text("{}")

    def students(*folders: str) -> list[Student]:
        return [Student("de", "tiny", seed, models[x], models["teacher/s/model"]) for seed, x in enumerate(folders)]

    def link(*names: str, **made) -> None:
        lines: list[str] = []
        ctx = SimpleNamespace(out=out, seconds={}, log=lines.append)
        runner = Runner(ctx, [Made(name, value) for name, value in made.items()])
        runner.run(names)
        link_models(runner)
        assert not lines

    aligner = models["aligner/1/model"]
    link(aligner=aligner, student=students("student/de/1/model"))
    assert not (out / "student/de/current").is_symlink() and not (out / "aligner/current").is_symlink()
    link("aligner", "student", aligner=aligner, student=students("student/de/2/model", "student/de/1/model"))
    assert os.readlink(out / "student/de/current") == "2/model"
    assert os.readlink(out / "aligner/current") == "1/model"
    assert find_student(out, "de") == models["student/de/2/model"]
    link("student", student=students("student/de/1/model"))
    assert find_student(out, None) == models["student/de/1/model"]
    link("student", student=students("teacher/s/model"))  # schedule: source_only
    assert find_student(out, "de") == models["teacher/s/model"]
    out.rename(tmp_path / "moved")
    assert find_student(tmp_path / "moved", "de") == tmp_path / "moved/teacher/s/model"
