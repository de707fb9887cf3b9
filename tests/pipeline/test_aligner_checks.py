"""The aligner is scored on examples of other sentences than those of its training, and its examples are checked."""

from __future__ import annotations

import json

import pytest

from tests.harness.stage_context import stage_context
from xner_ray.alignment.decoding import Decoding
from xner_ray.alignment.examples.example import Example
from xner_ray.alignment.projector_file import FILE, save_projector
from xner_ray.errors import UserError
from xner_ray.pipeline.runner import complete
from xner_ray.pipeline.stages import aligner_checks
from xner_ray.pipeline.stages.aligner import TrainAligner
from xner_ray.pipeline.stages.aligner_checks import (
    SCORES,
    check_aligner,
    split_examples,
    warn_of_examples,
    weight_warnings,
)
from xner_ray.pipeline.stages.ingest import Ingest
from xner_ray.pipeline.stages.source_models import TrainSourceModels


def examples(number, per_sentence=2):
    return [Example(f"n{i}", f"s {i // per_sentence}", ((0, 1),), "de", "lexicon") for i in range(number)]


def test_no_sentence_is_in_both_parts():
    training, held_out = split_examples(examples(400))
    assert len(training) + len(held_out) == 400 and 40 <= len(held_out) <= 42
    assert not {e.sentence for e in training} & {e.sentence for e in held_out}
    assert len(split_examples(examples(9000))[1]) == aligner_checks.MAX_HELD_OUT
    few = examples(aligner_checks.MIN_EXAMPLES - 1)
    assert split_examples(few) == (few, [])


@pytest.fixture
def run(tiny_encoder, tmp_path, monkeypatch):
    """The context and the projector of a run that holds examples out."""
    monkeypatch.setattr(aligner_checks, "MIN_EXAMPLES", 8)
    ctx = stage_context(tmp_path, tiny_encoder, aligner={"min_f1": 90})
    inputs = {"ingest": complete(ctx, Ingest(), {}), "teacher": complete(ctx, TrainSourceModels(), {})}
    return ctx, complete(ctx, TrainAligner(), inputs)


def test_an_aligner_below_its_minimum_stops_the_run_and_the_remedy_works(run, tiny_encoder, tmp_path):
    """One epoch over 20 examples teaches nothing."""
    ctx, folder = run
    assert 0 <= json.loads((folder.parent / SCORES).read_text())["de"]["f1"] < 90
    with pytest.raises(UserError) as error:
        check_aligner(ctx, folder)
    assert error.value.key == "aligner.min_f1" and "of de, below 90" in error.value.problem
    assert any("[aligner] de: P " in line and "held-out" in line for line in ctx.lines)
    lower = stage_context(tmp_path, tiny_encoder)
    check_aligner(lower, folder)


def test_a_minimum_without_scores_is_a_warning(tiny_encoder, tmp_path):
    """An older version, or too few examples."""
    ctx = stage_context(tmp_path, tiny_encoder, aligner={"min_f1": 90})
    check_aligner(ctx, tmp_path / "aligner" / "model")
    assert "warning: de" in ctx.lines[0] and "aligner.min_f1 has no effect" in ctx.lines[0]


def test_without_a_similarity_an_aligner_that_finds_nothing_stops_the_run(tiny_encoder, tmp_path):
    """With a similarity it is left out, and the run goes on."""
    folder = tmp_path / "projector" / "model"
    folder.mkdir(parents=True)
    row = {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 300}
    (folder.parent / SCORES).write_text(json.dumps({"de": row}))
    alone = stage_context(tmp_path, tiny_encoder, aligner={"similarity_weight": 0})
    with pytest.raises(UserError) as error:
        check_aligner(alone, folder)
    assert error.value.key == "aligner.min_f1" and "learning_rate" in error.value.remedy
    check_aligner(stage_context(tmp_path, tiny_encoder, aligner={"similarity_weight": 0, "min_f1": 0}), folder)
    check_aligner(stage_context(tmp_path, tiny_encoder), folder)


def test_a_language_in_which_the_aligner_lost_weight_is_a_warning(tmp_path):
    rows = {"de": (90, 0.7), "es": (65, 0.925), "zh": (0, 1.0)}
    held_out = {x: {"aligner": f1, "similarity": 90, "similarity_weight": w} for x, (f1, w) in rows.items()}
    save_projector(tmp_path, Decoding(), held_out=held_out)
    content = json.loads((tmp_path / FILE).read_text()) | {"similarity_weight": 0.7}
    (tmp_path / FILE).write_text(json.dumps(content))
    spanish, chinese = weight_warnings(tmp_path)
    assert spanish.startswith("es: ") and "0.07 instead of 0.30" in spanish and "learning_rate" in spanish
    assert chinese.startswith("zh: ") and "is left out" in chinese and "is 0, and 90" in chinese
    save_projector(tmp_path, Decoding())  # of an older version
    assert weight_warnings(tmp_path) == []


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ({"lexicon": 150, "negative": 0}, "aligner.negative_ratio"),
        ({"lexicon": 150, "negative": 10}, "150 positive and 10 negative"),
        ({"lexicon": 150, "negative": 50}, None),
        ({}, "ingest.max_pairs_per_language"),
    ],
)
def test_missing_examples_and_few_negatives_are_warnings(tiny_encoder, tmp_path, counts, expected):
    ctx = stage_context(tmp_path, tiny_encoder)
    warn_of_examples(ctx, {"de": {"counts": counts}})
    assert ctx.lines == [] if expected is None else expected in ctx.lines[0] and "warning: de" in ctx.lines[0]
