"""The stage `evaluate`: its pairs of models and sets, what it scores, its resume, and its errors."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.harness.stage_context import stage_context, write_gold
from xner_ray.encoders.load import load_model, load_tokenizer
from xner_ray.errors import UserError
from xner_ray.evaluation.tagger_scores import DRAWS, evaluate_model
from xner_ray.pipeline.runner import Runner, complete
from xner_ray.pipeline.stages.evaluate import Evaluate, ScoreModels, student_pairs
from xner_ray.pipeline.stages.source_models import SourceModels, teacher_spec
from xner_ray.pipeline.stages.student import Student

STAGE = Evaluate()


def save_tagger(encoder: Path, folder: Path) -> Path:
    """Write a tagger with a random head: another one for each call, as no seed is set."""
    load_model(encoder, ["O", "B-LOC", "I-LOC", "B-PER", "I-PER"]).save_pretrained(folder)
    load_tokenizer(encoder).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def folders(tiny_encoder, tmp_path_factory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    return {name: save_tagger(tiny_encoder, root / name / "f" / "model") for name in ("base", "one", "two")}


@pytest.fixture
def make(tiny_encoder, folders, tmp_path):
    """A function: sections of the config to a context and the inputs of the stage, one student for each seed."""

    def make(seeds=(1,), **sections):
        ctx = stage_context(tmp_path, tiny_encoder, **sections)
        models = SourceModels({teacher_spec(ctx.config, "de"): folders["base"]}, ctx.config)
        models_of_seeds = zip(seeds, (folders["one"], folders["two"]), strict=False)
        students = [
            Student("de", str(tiny_encoder), seed, folder, folders["base"]) for seed, folder in models_of_seeds
        ]
        return ctx, {"teacher": models, "student": students}

    return make


def test_each_pair_of_a_model_and_a_set_is_a_piece(make, folders):
    ctx, inputs = make()
    dev, base, student = STAGE.pieces(ctx, inputs)
    assert dev.key.startswith(str(folders["base"])) and dev.key.endswith("en.dev.conll")
    assert base.key.endswith("de.eval.conll") and student.key.startswith(str(folders["one"]))
    assert base.parts["model"] != student.parts["model"] and base.parts["gold"] == student.parts["gold"]
    assert base.folder == "scores"
    assert len(Evaluate(students_only=True).pieces(ctx, inputs)) == 2
    assert STAGE.describe(ctx.config).startswith("1 gold sets")


def test_students_are_scored_on_sets_of_their_language_only(make, folders):
    spanish = {"path": "es.conll", "language": "es"}
    ctx, inputs = make()
    config = ctx.config.model_copy(update={"evaluation": [*ctx.config.evaluation, *_gold(spanish)]})
    assert {path for _, path in student_pairs(config, inputs["student"])} == {ctx.config.evaluation[0].path}


def _gold(*items):
    from xner_ray.config import GoldConfig

    return [GoldConfig(**item) for item in items]


def test_scores_equal_those_of_the_command(make, folders, tmp_path):
    ctx, inputs = make()
    result = complete(ctx, STAGE, inputs)
    row = result["sets"]["german"]
    data = str(tmp_path / "de.eval.conll")
    assert row["student"] == json.loads(json.dumps(evaluate_model(str(folders["one"]), data, "de")))
    assert row["zero_transfer"] == json.loads(json.dumps(evaluate_model(str(folders["base"]), data, "de")))
    assert row["gain"]["f1"] == pytest.approx(row["student"]["f1"] - row["zero_transfer"]["f1"], abs=0.01)
    assert (row["language"], row["sentences"], row["seeds"]) == ("de", 10, [1])
    assert result["languages"]["de"]["student"] == row["student"]
    assert result["source_sets"]["dev"]["sentences"] == 10 and DRAWS not in result["source_sets"]["dev"]
    assert sum("F1" in line for line in ctx.lines) == 3 and "[evaluate] 3/3 " in ctx.lines[-1]


def test_several_seeds_give_their_mean(make, folders):
    ctx, inputs = make(seeds=(1, 2))
    row = complete(ctx, STAGE, inputs)["sets"]["german"]
    data = ctx.config.evaluation[0].path
    each = [evaluate_model(str(folders[name]), data, "de")["f1"] for name in ("one", "two")]
    assert row["student"]["f1"] == pytest.approx(sum(each) / 2, abs=0.01) and row["seeds"] == [1, 2]
    assert [one["student"] for one in row["by_seed"]] == each
    before = evaluate_model(str(folders["base"]), data, "de")["f1"]
    assert [one["zero_transfer"] for one in row["by_seed"]] == [before, before]


def test_a_stopped_evaluation_continues_with_the_next_pair(make, folders):
    ctx, inputs = make()
    stage = ScoreModels(student_pairs(ctx.config, inputs["student"]))
    scored = []

    class Stopped(type(ctx.executor)):  # type: ignore[misc]
        def stream(self, function, *args):
            for item in super().stream(function, *args):
                yield item
                raise KeyboardInterrupt

    ctx.executor.__class__ = Stopped
    with pytest.raises(KeyboardInterrupt):
        complete(ctx, stage, {})
    (plan,) = Runner(ctx, [stage]).plan()
    assert (plan.done, plan.total) == (1, 2)
    ctx, _ = make()
    scored = complete(ctx, stage, {})
    assert len(scored) == 2 and sum("F1" in line for line in ctx.lines) == 1


def test_truncated_scores_are_made_again(make):
    ctx, inputs = make()
    before = complete(ctx, STAGE, inputs)
    file = next((ctx.out / "scores").glob("*/scores.json"))
    file.write_text("{")
    ctx, inputs = make()
    assert complete(ctx, STAGE, inputs) == before
    assert any("damaged" in line and str(file) in line for line in ctx.lines)
    assert sum("F1" in line for line in ctx.lines) == 1


def test_a_missing_set_is_named_with_its_key(make, tmp_path):
    missing = str(tmp_path / "none.conll")
    ctx, inputs = make(evaluation=[{"path": missing, "language": "de"}])
    with pytest.raises(UserError) as e:
        complete(ctx, STAGE, inputs)
    assert e.value.file == missing and e.value.key == "evaluation.0.path" and "data" in e.value.remedy


@pytest.mark.parametrize("content", ["", "\n\n"])
def test_an_empty_set_is_named(make, tmp_path, content):
    write_gold(tmp_path / "en.train.conll")
    (tmp_path / "de.eval.conll").write_text(content)
    ctx, inputs = make()
    with pytest.raises(UserError) as e:
        complete(ctx, STAGE, inputs)
    assert str(e.value.file) == str(tmp_path / "de.eval.conll") and e.value.remedy


def test_a_truncated_model_is_named(make, tiny_encoder, folders, tmp_path):
    ctx, inputs = make()
    model = save_tagger(tiny_encoder, tmp_path / "student" / "model")
    weights = model / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    inputs["student"] = [Student("de", str(tiny_encoder), 1, model, folders["base"])]
    with pytest.raises(UserError) as e:
        complete(ctx, STAGE, inputs)
    assert e.value.file == weights and e.value.remedy
    assert (Path(ctx.out) / "scores").exists()  # the pairs before are kept
    (plan,) = Runner(ctx, [ScoreModels(student_pairs(ctx.config, inputs["student"]))]).plan()
    assert (plan.done, plan.total) == (1, 2)
