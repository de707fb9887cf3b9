"""A student below zero-transfer is a warning with its likely cause, a key to change, and the folder of the better model."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from xner_ray.config import Config
from xner_ray.pipeline.stages.model_checks import UnlikeDev
from xner_ray.pipeline.stages.student import Student
from xner_ray.workflows import student_losses
from xner_ray.workflows.student_losses import describe_losses, find_losses, likely_cause


def student(language="de", encoder="e", seed=1, base="base"):
    return Student(language, encoder, seed, Path("student"), Path(base))


def row(*by_seed, language="de", encoder="e"):
    pairs = [{"zero_transfer": before, "student": after} for before, after in by_seed]
    return {"language": language, "encoder": encoder, "by_seed": pairs}


def test_only_the_set_on_which_the_student_loses_is_named():
    sets = {"news": row((50, 45)), "talks": row((50, 50)), "mail": row((50, 60))}
    (line,) = describe_losses(sets, [student()], lambda language: f"cause of {language}")
    assert "F1 45.00 instead of 50.00" in line and "on news" in line
    assert "cause of de" in line and line.endswith("base")


def test_a_seed_that_loses_is_named_although_the_mean_wins():
    students = [student(seed=1, base="one"), student(seed=2, base="two")]
    (line,) = describe_losses({"news": row((50, 70), (50, 40))}, students, str)
    assert "seed 2: F1 40.00 instead of 50.00" in line and "seed 1" not in line and line.endswith("two")


def test_each_encoder_has_its_own_better_model():
    students = [student(encoder=x, base=f"base {x}") for x in "ab"] + [student("es", "a", base="base es")]
    sets = {"news (a)": row((50, 60), encoder="a"), "news (b)": row((50, 40), encoder="b")}
    (line,) = describe_losses(sets, students, str)
    assert "on news (b)" in line and line.endswith("base b")


@pytest.fixture
def runner(monkeypatch):
    """A function: sentences of the dataset, corpora that differ from dev, and sections of the config, to a runner and its log."""

    def make(sentences, unlike=(), low_score=0, threshold=0.9, **sections):
        monkeypatch.setattr(student_losses, "corpora_unlike_dev", lambda *args: list(unlike))
        monkeypatch.setattr(student_losses, "fitting_threshold", lambda *args: threshold)
        corpora = [{"name": "a", "format": "moses", "path": "a"}]
        config = Config(name="t", out="o", languages=["de"], gold=[{"path": "g"}], corpora=corpora, **sections)
        counts = {"de": {"read": 1000, "dropped": {"low_score": low_score}}}
        lines: list[str] = []
        results = {
            "teacher": None,
            "label": SimpleNamespace(root="store"),
            "ingest": SimpleNamespace(shards=list),
            "filter": SimpleNamespace(ledger=SimpleNamespace(by=lambda dimension: counts)),
            "dataset": SimpleNamespace(summary={"de": {"sentences": sentences, "available": sentences}}),
            "student": [student()],
        }
        return SimpleNamespace(ctx=SimpleNamespace(config=config, log=lines.append), result=results.get), lines

    return make


HIGH = {"min_entity_score": 0.95}


@pytest.mark.parametrize(
    ("made", "remedy"),
    [
        ({"sentences": 1000}, "raise rules.min_entity_score"),
        ({"sentences": 10}, "add a corpus"),  # all pairs were read
        ({"sentences": 10, "ingest": {"max_pairs_per_language": 1000}}, "raise ingest.max_pairs_per_language"),
        ({"sentences": 10, "ingest": {"max_pairs_per_language": None}}, "add a corpus"),
        ({"sentences": 10, "dataset": {"max_sentences": 10}}, "raise dataset.max_sentences"),
        ({"sentences": 10, "low_score": 90, "rules": HIGH}, "lower rules.min_entity_score"),
        (
            {"sentences": 10, "low_score": 90, "rules": {"min_projection_score": 0.9}},
            "lower rules.min_projection_score",
        ),
        ({"sentences": 10, "low_score": 90, "rules": {"min_entity_score": 0.9}}, "add a corpus"),  # it fits dev
        ({"sentences": 10, "low_score": 5, "rules": HIGH}, "add a corpus"),
        ({"sentences": 10, "unlike": [UnlikeDev("de, News", 0.9, 1, 1, 0.71)]}, "set rules.min_entity_score=0.71"),
    ],
)
def test_the_cause_names_a_key_that_can_change_it(runner, made, remedy):
    run, lines = runner(**made)
    assert likely_cause(run, "de").endswith(remedy)
    assert find_losses(run, {"sets": {"news": row((50, 45))}}) == [lines[0].removeprefix("[evaluate] warning: ")]
    assert remedy in lines[0] and lines[0].endswith("base")


def test_no_cause_is_looked_for_where_no_student_loses(runner, monkeypatch):
    """The cause reads labeled shards."""
    run, lines = runner(10)
    monkeypatch.setattr(student_losses, "likely_cause", lambda *args: pytest.fail("looked for a cause"))
    assert find_losses(run, {"sets": {"news": row((50, 50))}}) == lines == []
