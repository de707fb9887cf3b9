"""The stage `aligner`: its three pieces, what each depends on, its resume, and its errors."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from tests.harness.stage_context import TRAINING, stage_context
from xner_ray.alignment.ensemble import FOLDER
from xner_ray.alignment.projector import Projector
from xner_ray.alignment.projector_file import FILE, read_projector
from xner_ray.errors import UserError
from xner_ray.pipeline.runner import Runner, complete
from xner_ray.pipeline.stages.aligner import PROJECTOR, SIMILARITY, TRAINED, TrainAligner
from xner_ray.pipeline.stages.ingest import Ingest
from xner_ray.pipeline.stages.label import Label
from xner_ray.pipeline.stages.source_models import TrainSourceModels

STAGE = TrainAligner()


@pytest.fixture(scope="module")
def make(tiny_encoder, tmp_path_factory):
    """A function: sections of the config to a context and the inputs of the stage. All contexts have one output folder."""
    folder = tmp_path_factory.mktemp("aligner")

    def make(**sections):
        ctx = stage_context(folder, tiny_encoder, **sections)
        return ctx, {"ingest": complete(ctx, Ingest(), {}), "teacher": complete(ctx, TrainSourceModels(), {})}

    return make


@pytest.fixture(scope="module")
def trained(make) -> Path:
    """The folder of the projector of the default config."""
    ctx, inputs = make()
    return complete(ctx, STAGE, inputs)


def changed(make, **aligner) -> set[str]:
    """The pieces that a change of the section `aligner` makes anew."""
    before, after = ({p.key: p.path for p in STAGE.directories(*run)} for run in (make(), make(aligner=aligner)))
    return {key for key in before if before[key] != after.get(key)}


def test_the_projector_holds_both_models_and_its_settings(make, trained):
    ctx, _ = make()
    assert read_projector(trained).similarity_layer == 1
    assert (trained / FOLDER / "model.safetensors").exists()
    facts = json.loads((trained / FILE).read_text())["facts"]
    assert facts == {"languages": ["de"], "run": "t", "source_language": "en", "held_out": {}}
    assert Projector.load(trained).engine.model.config.id2label[1] == "INSIDE"
    assert ctx.config.aligner.encoder in STAGE.describe(ctx.config)


def test_a_training_of_few_steps_is_a_warning_with_the_key(make, trained):
    """One epoch over 20 examples is one step. Other examples and a smaller batch are more."""
    remedy = {"training": {**TRAINING, "epochs": 10, "tokens_per_step": 16, "max_micro_batch_tokens": 16}}
    for aligner, expected in (({"negative_ratio": 0.3}, True), ({**remedy, "negative_ratio": 0.3}, False)):
        ctx, inputs = make(aligner=aligner)
        complete(ctx, STAGE, inputs)
        lines = [line for line in ctx.lines if "[aligner] warning" in line and "optimizer steps" in line]
        assert bool(lines) == expected
        for key in ("aligner.training.tokens_per_step", "aligner.training.epochs", "aligner.num_examples"):
            assert all(key in line for line in lines)


def test_each_piece_depends_on_its_own_settings(make, trained):
    assert changed(make, threshold=0.3) == {PROJECTOR}
    assert changed(make, similarity_layer=2) == {SIMILARITY, TRAINED, PROJECTOR}  # the similarity bootstraps examples
    assert changed(make, num_examples=8) == {TRAINED, PROJECTOR}
    assert changed(make, similarity_weight=0) == {SIMILARITY, PROJECTOR}
    assert changed(make, training={**TRAINING, "epochs": 2}) == {TRAINED, PROJECTOR}


def test_examples_come_from_the_first_shards_only(make):
    ctx, inputs = make()
    pieces = {piece.key: piece.parts for piece in STAGE.pieces(ctx, inputs)}
    assert [shard.rows for shard in inputs["ingest"].shards()] == [16, 16, 8]
    assert len(pieces[TRAINED]["shards"]) == 2  # 20 examples a language
    assert set(pieces[TRAINED]["teachers"]) == {"de"}


def test_more_pairs_need_no_other_aligner_and_no_new_labels_of_the_first_shards(make):
    (ctx, small), (more, large) = (make(ingest={"max_pairs_per_language": n}) for n in (36, 40))
    before, after = ([s.shard for s in inputs["ingest"].shards()] for inputs in (small, large))
    assert len(before) == len(after) == 3 and before[:2] == after[:2] and before[2] != after[2]
    assert [d.path for d in STAGE.directories(ctx, small)] == [d.path for d in STAGE.directories(more, large)]
    labels, aligned = Label(), {"aligner": complete(ctx, STAGE, small)}
    (one,), (two,) = labels.directories(ctx, small | aligned), labels.directories(more, large | aligned)
    assert one.path == two.path  # so the labels of the first shards are there


def test_a_decoding_setting_moves_without_a_training(make, trained):
    model = trained / "model.safetensors"
    ctx, inputs = make(aligner={"threshold": 0.25})
    folder = complete(ctx, STAGE, inputs)
    assert folder != trained and read_projector(folder).decoding.threshold == 0.25
    assert (folder / "model.safetensors").samefile(model)  # a hard link
    assert not any("examples" in line for line in ctx.lines)


def test_without_similarity_there_are_two_pieces(make):
    ctx, inputs = make(aligner={"similarity_weight": 0})
    assert [piece.key for piece in STAGE.pieces(ctx, inputs)] == [TRAINED, PROJECTOR]
    assert not (complete(ctx, STAGE, inputs) / FOLDER).exists()


def test_a_truncated_similarity_is_made_again_alone(make, trained):
    ctx, inputs = make()
    paths = {p.key: p.path for p in STAGE.directories(ctx, inputs)}
    weights = paths[TRAINED] / "model" / "model.safetensors"
    times = weights.stat().st_mtime_ns
    damaged = paths[SIMILARITY] / FOLDER / "model.safetensors"
    content = damaged.read_bytes()
    damaged.unlink()  # another file: the projector holds a hard link to the old one
    damaged.write_bytes(content[:100])
    (plan,) = [p for p in Runner(ctx, [Ingest(), TrainSourceModels(), STAGE]).plan() if p.stage == "aligner"]
    assert (plan.done, plan.total) == (2, 3) and str(damaged) in plan.reasons[0]
    assert complete(ctx, STAGE, inputs) == trained
    assert damaged.stat().st_size == len(content) and weights.stat().st_mtime_ns == times


def test_a_stopped_training_keeps_its_examples(make):
    ctx, inputs = make(aligner={"num_examples": 10})

    class Stopped(type(ctx.executor)):  # type: ignore[misc]
        def train(self, jobs):
            assert [job.section for job in jobs] == ["aligner.training"]
            raise KeyboardInterrupt

    ctx.executor.__class__ = Stopped
    with pytest.raises(KeyboardInterrupt):
        complete(ctx, STAGE, inputs)
    assert any("looking for examples" in line for line in ctx.lines)
    ctx, inputs = make(aligner={"num_examples": 10})
    complete(ctx, STAGE, inputs)
    assert not any("looking for examples" in line for line in ctx.lines)


def test_missing_examples_are_reported(make):
    ctx, inputs = make(aligner={"num_examples": 60})
    complete(ctx, STAGE, inputs)
    assert any("lexicon examples are missing" in line for line in ctx.lines)


def test_another_content_of_an_examples_file_trains_another_aligner(make, tmp_path):
    file = tmp_path / "lexicon.tsv"
    paths = []
    for content in ("Germany\tDeutschland\n", "Germany\tAlemania\n"):
        file.write_text(content)
        paths.append({p.key: p.path for p in STAGE.directories(*make(aligner={"lexicon": str(file)}))})
    assert [key for key in paths[0] if paths[0][key] != paths[1][key]] == [TRAINED, PROJECTOR]


def test_another_content_of_a_translator_trains_another_aligner(make, tmp_path):
    settings = {"translator": str(tmp_path), "example_sources": {"bootstrap": 0.5, "translator": 0.5}}
    (tmp_path / "config.json").write_text("{}")
    paths = []
    for content in (b"one", b"two"):
        (tmp_path / "model-00001-of-00002.safetensors").write_bytes(content)
        paths.append({p.key: p.path for p in STAGE.directories(*make(aligner=settings))})
    assert [key for key in paths[0] if paths[0][key] != paths[1][key]] == [TRAINED, PROJECTOR]


@pytest.mark.parametrize("content", [None, ""])
def test_a_missing_or_empty_examples_file_is_named(make, tmp_path, content):
    file = tmp_path / "de.tsv"
    if content is not None:
        file.write_text(content)
    sources = {"example_sources": {"pairs": 1.0}, "examples_file": str(tmp_path / "{language}.tsv")}
    ctx, inputs = make(aligner=sources)
    with pytest.raises(UserError) as e:
        complete(ctx, STAGE, inputs)
    assert str(e.value.file) == str(file) and e.value.remedy and e.value.key == "aligner.examples_file"


def test_a_corpus_without_any_example_is_an_error(tiny_encoder, tmp_path):
    with zipfile.ZipFile(tmp_path / "N.zip", "w") as archive:
        for language, word in (("en", "bird"), ("de", "Vogel")):
            archive.writestr(f"N.{language}", "".join(f"{i} {word}\n" for i in range(20)))
    ctx = stage_context(tmp_path, tiny_encoder)  # its only source of examples are names of countries
    inputs = {"ingest": complete(ctx, Ingest(), {}), "teacher": complete(ctx, TrainSourceModels(), {})}
    with pytest.raises(UserError) as e:
        complete(ctx, STAGE, inputs)
    assert e.value.key == "aligner.example_sources" and "ingest" in e.value.remedy
    config = ctx.config.aligner.model_copy(update={"example_sources": {"bootstrap": 1.0}})  # the remedy works
    ctx = ctx.with_config(ctx.config.model_copy(update={"aligner": config}))
    assert (complete(ctx, STAGE, inputs) / "model.safetensors").exists()
