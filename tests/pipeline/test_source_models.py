"""The stage `teacher`: the models that it trains, its resume, and its errors."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tests.harness.stage_context import TRAINING, stage_context, write_gold
from xner_ray.encoders.load import load_model, load_tokenizer
from xner_ray.encoders.temperature import TEMPERATURE, stored_temperature
from xner_ray.errors import UserError
from xner_ray.ner.external_teacher import teacher_types
from xner_ray.ner.tagger import open_tagger
from xner_ray.pipeline.context import NotAvailableOffline
from xner_ray.pipeline.runner import Runner, complete
from xner_ray.pipeline.stages.source_models import (
    ModelSpec,
    TrainSourceModels,
    teacher_spec,
    zero_shot_spec,
    zero_shot_specs,
)
from xner_ray.pipeline.stages.tagger_training import describe_training, training_gold
from xner_ray.training.data import IGNORE_INDEX, TrainSet

STAGE = TrainSourceModels()
TWO_TEACHERS = {"languages": ["de", "es"], "teacher": {"drop_types": {"es": ["LOC"]}}}


def test_one_model_serves_all_languages_with_the_same_types(tiny_encoder, tmp_path):
    ctx = stage_context(tmp_path, tiny_encoder, languages=["de", "fr"])
    (piece,) = STAGE.pieces(ctx, {})
    assert (piece.key, piece.folder) == ("source", "teacher/source")
    assert {"training", "drop_types", "seed", "encoder", "vocabulary", "gold", "calibration"} == set(piece.parts)
    assert STAGE.describe(ctx.config).startswith(f"1 x {tiny_encoder}, 1 epoch of cross entropy")


def test_a_model_is_shared_only_if_its_training_is_equal(tiny_encoder, tmp_path):
    student = {"source_training": {**TRAINING, "epochs": 3}, "seeds": [1, 2], "source_model_per_seed": True}
    ctx = stage_context(tmp_path, tiny_encoder, student=student)
    assert [spec.seed for spec in zero_shot_specs(ctx.config)] == [None, 2]  # the first seed is that of the run
    teacher, first, second = STAGE.pieces(ctx, {})
    assert teacher.key.startswith("source ") and first.key.startswith("source ") and teacher.key != first.key
    assert second.key == "source-seed-2" and second.parts["seed"] == 2
    assert (teacher.parts["training"]["epochs"], first.parts["training"]["epochs"]) == (1, 3)


def test_a_teacher_that_finds_demonyms_keeps_all_types(tiny_encoder, tmp_path):
    rules = {"demonym_country_type": {"de": "LOC"}}
    ctx = stage_context(tmp_path, tiny_encoder, teacher={"drop_types": {"de": ["LOC"]}}, rules=rules)
    assert teacher_spec(ctx.config, "de").drop_types == ()
    assert zero_shot_spec(ctx.config, str(tiny_encoder), "de", 1).drop_types == ("LOC",)


def test_models_predict_the_types_that_their_language_has(tiny_encoder, tmp_path):
    ctx = stage_context(tmp_path, tiny_encoder, **TWO_TEACHERS)
    assert sorted(piece.key for piece in STAGE.pieces(ctx, {})) == ["source", "source-no-LOC"]
    models = complete(ctx, STAGE, {})
    assert {x: teacher_types(folder) for x, folder in models.teachers().items()} == {
        "de": ["LOC", "PER"],
        "es": ["PER"],
    }
    assert models.named()["source"] == models.teacher("de") == models.zero_shot(str(tiny_encoder), "de", 1)
    assert len(open_tagger(models.teacher("es")).tag(["Anna likes Spain."], "es")) == 1
    assert any("10 sentences" in line and "labels LOC PER" in line for line in ctx.lines)

    # A truncated model is trained again, and the other one is not.
    weights, other = models.teacher("es") / "model.safetensors", models.teacher("de") / "model.safetensors"
    content, times = weights.read_bytes(), other.stat().st_mtime_ns
    weights.write_bytes(content[: len(content) // 2])
    again = stage_context(tmp_path, tiny_encoder, **TWO_TEACHERS)
    (plan,) = Runner(again, [STAGE]).plan()
    assert (plan.done, plan.total) == (1, 2) and str(weights) in plan.reasons[0]
    assert complete(again, STAGE, {}).folders == models.folders
    assert weights.read_bytes() == content and other.stat().st_mtime_ns == times
    assert any("damaged" in line and str(weights) in line for line in again.lines)


def test_sentences_of_evaluation_files_are_not_trained_on(tiny_encoder, tmp_path):
    write_gold(tmp_path / "en.dev.conll", 3)
    ctx = stage_context(tmp_path, tiny_encoder)
    assert len(training_gold(ctx, ())) == 7
    (piece,) = STAGE.pieces(ctx, {})
    assert piece.parts["held_out"] == [0, 1, 2]


def test_a_model_is_calibrated_on_dev_gold_of_its_types(tiny_encoder, tmp_path):
    """The temperature is in config.json, and without dev gold there is none."""
    training = {**TRAINING, "epochs": 12, "learning_rate": 1e-2, "freeze_embeddings": False}
    write_gold(tmp_path / "en.dev.conll", 30, verb="leaves")
    ctx = stage_context(tmp_path, tiny_encoder, teacher={"drop_types": {"de": ["LOC"]}, "training": training})
    (piece,) = STAGE.pieces(ctx, {})
    folder = complete(ctx, STAGE, {}).teacher("de")
    data = TrainSet.load(folder.parent / "calibration.npz")
    assert set(data.labels.tolist()) == {IGNORE_INDEX, 0, 1} and piece.parts["calibration"]["drop_types"] == ["LOC"]
    assert stored_temperature(folder) != 1
    assert open_tagger(folder).temperature == stored_temperature(folder)

    bare = stage_context(tmp_path, tiny_encoder, dev=[], out=str(tmp_path / "bare"))
    folder = complete(bare, STAGE, {}).teacher("de")
    assert stored_temperature(folder) == 1 and TEMPERATURE not in (folder / "config.json").read_text()


@pytest.fixture
def tagger(tiny_encoder, tmp_path) -> Path:
    """The folder of a tagger that another program trained."""
    folder = tmp_path / "tagger"
    load_model(tiny_encoder, ["O", "B-PERSON", "I-PERSON", "B-DATE", "I-DATE"]).save_pretrained(folder)
    load_tokenizer(tiny_encoder).save_pretrained(folder)
    return folder


def test_a_trained_tagger_is_copied_with_its_labels_renamed(tiny_encoder, tagger, tmp_path):
    ctx = stage_context(tmp_path, tiny_encoder, teacher={"model": str(tagger), "label_map": {"PERSON": "PER"}})
    stage = TrainSourceModels([teacher_spec(ctx.config, "de")])
    (piece,) = stage.pieces(ctx, {})
    assert (piece.key, piece.parts["label_map"]) == ("external", {"PERSON": "PER"})
    folder = complete(ctx, stage, {}).teacher("de")
    assert teacher_types(folder) == ["DATE", "PER"]
    assert [line for line in ctx.lines if "DATE: no gold sentence has" in line and "teacher.label_map" in line]
    assert "used as it is" in stage.describe(ctx.config)


def test_a_missing_gold_file_is_named_with_its_key(tiny_encoder, tmp_path):
    ctx = stage_context(tmp_path, tiny_encoder, gold=[{"path": str(tmp_path / "none.conll")}])
    with pytest.raises(UserError) as e:
        complete(ctx, STAGE, {})
    assert (e.value.file, e.value.key) == (str(tmp_path / "none.conll"), "gold.0.path") and "data" in e.value.remedy


def test_a_truncated_encoder_is_named(tiny_encoder, tmp_path):
    broken = shutil.copytree(tiny_encoder, tmp_path / "broken")
    weights = broken / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(UserError) as e:
        complete(stage_context(tmp_path, broken), STAGE, {})
    assert str(e.value.file).startswith(str(broken)) and e.value.remedy


def test_a_truncated_trained_tagger_is_named(tiny_encoder, tagger, tmp_path):
    weights = tagger / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    ctx = stage_context(tmp_path, tiny_encoder, teacher={"model": str(tagger), "label_map": {"PERSON": "PER"}})
    with pytest.raises(UserError) as e:
        complete(ctx, TrainSourceModels([teacher_spec(ctx.config, "de")]), {})
    assert str(e.value.file).startswith(str(tagger)) and e.value.remedy


def test_offline_a_hub_model_is_not_available(tiny_encoder, tmp_path):
    ctx = replace(stage_context(tmp_path, tiny_encoder, teacher={"model": "someone/tagger"}), offline=True)
    with pytest.raises(NotAvailableOffline, match="someone/tagger"):
        STAGE.pieces(ctx, {})


def test_names_and_trainings_in_words(tiny_encoder, tmp_path):
    training = stage_context(tmp_path, tiny_encoder).config.teacher.training
    assert ModelSpec("e", training, ("MISC",), seed=3).name == "source-no-MISC-seed-3"
    assert ModelSpec("e", training, (), model="spacy:de").name == "external"
    other = training.model_copy(update={"loss": "focal", "gamma": 2.0, "epochs": 2, "num_frozen_layers": 3})
    assert describe_training(other) == "2 epochs of focal loss with gamma 2, learning rate 0.001, 3 layers frozen"


def test_a_config_without_entities_in_gold_is_an_error(tiny_encoder, tmp_path):
    gold = tmp_path / "en.train.conll"
    gold.write_text("Anna\tO\n.\tO\n\n", encoding="utf-8")
    with pytest.raises(UserError) as e:
        complete(stage_context(tmp_path, tiny_encoder), STAGE, {})
    assert e.value.key == "gold" and "tag" in e.value.remedy
    assert not list((tmp_path / "out").rglob("done.json"))
    assert json.loads((tmp_path / "out" / "run.json").read_text())["name"] == "t"


@pytest.mark.parametrize(("name", "key"), [("en.train", "gold"), ("en.dev", "dev"), ("de.eval", "evaluation")])
def test_an_empty_gold_file_is_named_before_any_training(tiny_encoder, tmp_path, name, key):
    (tmp_path / f"{name}.conll").write_text("\n")
    with pytest.raises(UserError) as e:
        complete(stage_context(tmp_path, tiny_encoder), STAGE, {})
    assert (str(e.value.file), e.value.key) == (str(tmp_path / f"{name}.conll"), f"{key}.0.path") and e.value.remedy
    assert not list((tmp_path / "out" / "teacher").rglob("data.npz"))


def test_gold_that_is_also_evaluated_is_an_error_of_its_own(tiny_encoder, tmp_path):
    for name in ("en.train", "en.dev"):
        write_gold(tmp_path / f"{name}.conll")
    with pytest.raises(UserError) as e:
        complete(stage_context(tmp_path, tiny_encoder), STAGE, {})
    assert e.value.key == "gold" and "evaluation" in e.value.problem and "dev" in e.value.remedy
