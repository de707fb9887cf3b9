"""Warnings and limits about models: the teacher on dev, its scores in corpora, and short trainings."""

from __future__ import annotations

import re
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError

from tests.harness.stage_context import stage_context
from xner_ray.encoders.load import load_model, save_tokenizer
from xner_ray.encoders.ragged import Ragged
from xner_ray.errors import UserError
from xner_ray.evaluation.calibration import reliability
from xner_ray.pipeline.stages import model_checks
from xner_ray.pipeline.stages.model_checks import check_teachers, compare_with_dev, describe_scores
from xner_ray.pipeline.stages.source_models import SourceModels, teacher_spec
from xner_ray.pipeline.stages.tagger_training import warn_of_few_steps
from xner_ray.storage.shard_store import ShardStore
from xner_ray.text.tags import label_list
from xner_ray.training.data import TrainSet


@pytest.fixture
def make(tiny_encoder, tmp_path):
    """A function: sections of the config to a context and its teacher, which predicts O for every word."""
    folder = tmp_path / "teacher" / "model"
    model = load_model(tiny_encoder, label_list(["LOC", "PER"]))
    model.classifier.bias.data[0] = 100
    model.save_pretrained(folder)
    save_tokenizer(tiny_encoder, folder)

    def make(**sections):
        ctx = stage_context(tmp_path, tiny_encoder, **sections)
        return ctx, SourceModels({teacher_spec(ctx.config, "de"): folder}, ctx.config)

    return make


def test_the_teacher_is_scored_by_type_and_a_type_that_it_never_finds_is_a_warning(make):
    ctx, models = make()
    check_teachers(ctx, models)
    text = "\n".join(ctx.lines)
    assert "source on dev: P 0.0, R 0.0, F1 0.0; LOC P 0.0" in text
    assert re.search(r"warning: .* none of \d+ entities of the type PER .*teacher.training.epochs", text)


def test_dropped_types_are_no_gold_of_the_teacher(make):
    ctx, models = make(teacher={"drop_types": {"de": ["PER"]}})
    check_teachers(ctx, models)
    assert "LOC P" in "\n".join(ctx.lines) and "PER P" not in "\n".join(ctx.lines)


def test_a_teacher_below_its_minimum_stops_the_run_and_the_remedy_works(make):
    ctx, models = make(teacher={"min_f1": 50})
    with pytest.raises(UserError) as error:
        check_teachers(ctx, models)
    assert error.value.key == "teacher.min_f1" and "0.00" in error.value.problem and "dev" in error.value.problem
    assert "lower teacher.min_f1" in error.value.remedy
    ctx, models = make(teacher={"min_f1": 0})
    check_teachers(ctx, models)
    with pytest.raises(ValidationError, match="dev"):
        make(teacher={"min_f1": 50}, dev=[])


def write_shard(folder, name, corpus, scores):
    """A shard of pairs with one entity each."""
    entities = [[{"start": 0, "end": 1, "type": "DISH", "score": float(s)}] for s in scores]
    field = pa.list_(
        pa.struct([("start", pa.int32()), ("end", pa.int32()), ("type", pa.string()), ("score", pa.float32())])
    )
    table = pa.table({"corpus": [corpus] * len(scores), "entities": pa.array(entities, field)})
    ShardStore(folder).commit(name, table, "hash")


def test_a_corpus_whose_entities_score_below_those_of_dev_is_a_warning_with_a_threshold(make, monkeypatch, tmp_path):
    dev = {"calibration": reliability(np.full(100, 0.95), np.ones(100, bool)), "sentences": 50, "trusted_score": 0.93}
    monkeypatch.setattr(model_checks, "teacher_scores", lambda ctx, models: {"source on dev": dev})
    write_shard(tmp_path / "store", "a", "Recipes", np.full(60, 0.96))
    write_shard(tmp_path / "store", "b", "News", np.r_[np.full(40, 0.3), np.full(60, 0.96)])
    write_shard(tmp_path / "store", "c", "Few", np.full(10, 0.3))
    shards = [SimpleNamespace(shard=name, language="de", rows=100) for name in "abc"]
    ctx, models = make()
    compare_with_dev(ctx, models, str(tmp_path / "store"), shards)
    (line,) = [line for line in ctx.lines if "warning" in line]
    assert "de, News: 40% of the teacher's entities score below 0.93" in line
    assert "1.00 entities in a sentence, and 2.00 in dev" in line and "rules.min_entity_score=0.93" in line

    ctx, models = make(rules={"min_entity_score": 0.93})  # the remedy
    compare_with_dev(ctx, models, str(tmp_path / "store"), shards)
    assert not ctx.lines


def test_scores_that_cannot_be_compared_are_in_the_log(make, tmp_path):
    ctx, models = make()  # no entity of dev is found
    compare_with_dev(ctx, models, str(tmp_path / "store"), [])
    assert "not compared with those in dev" in ctx.lines[-1] and "`dev`" in ctx.lines[-1]


def test_a_corpus_behind_many_shards_of_another_is_compared(tmp_path):
    names = [f"de-{i:02d}" for i in range(40)]
    for i, name in enumerate(names):
        write_shard(tmp_path, name, "News" if i < 36 else "Recipes", np.full(3, 0.5))
    write_shard(tmp_path, "es-00", "News", np.full(3, 0.5))
    shards = [SimpleNamespace(shard=name, language="de", rows=10_000) for name in names]
    shards.append(SimpleNamespace(shard="es-00", language="es", rows=3))
    pairs = {name: number for name, (_, number) in model_checks.entity_scores(str(tmp_path), shards).items()}
    assert set(pairs) == {"de, News", "de, Recipes", "es, News"}
    assert pairs["de, News"] + pairs["de, Recipes"] == 3 * model_checks.MIN_SHARDS


@pytest.mark.parametrize(
    ("batch", "key"), [({}, "tokens_per_step"), ({"sequences_per_step": 4}, "sequences_per_step")]
)
def test_a_training_of_few_steps_is_a_warning_with_the_key(make, batch, key):
    ctx, _ = make(teacher={"training": {"epochs": 2, **batch}})
    ids = Ragged.from_rows([[0, 5, 6, 2]] * 40)
    data = TrainSet(ids, np.zeros(len(ids.values), np.int32))
    warn_of_few_steps(ctx, "source", "teacher.training", data, ctx.config.teacher.training)
    (line,) = ctx.lines
    assert f"lower teacher.training.{key}" in line and "teacher.training.epochs" in line
    ctx.lines.clear()
    warn_of_few_steps(
        ctx, "source", "teacher.training", data, ctx.config.teacher.training.model_copy(update={"epochs": 80})
    )
    assert not ctx.lines


def test_scores_by_type_are_one_line():
    row = {"precision": 50, "recall": 25.04, "f1": 33.3}
    assert describe_scores({**row, "types": {"LOC": row}}).count("P 50.0, R 25.0, F1 33.3") == 2
