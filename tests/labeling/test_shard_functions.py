"""Labeling and aligning with small models: the same spans for each token budget, and with tokens that were made before."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch

from xner_ray import schema
from xner_ray.alignment.decoding import Decoding
from xner_ray.alignment.ensemble import FOLDER, save_similarity
from xner_ray.alignment.projector import LABELS
from xner_ray.alignment.projector_file import save_projector
from xner_ray.encoders.device_errors import NoGpuError
from xner_ray.encoders.load import load_model, save_tokenizer
from xner_ray.encoders.tokenizer import Tokenizer
from xner_ray.encoders.torch_engine import TorchEngine
from xner_ray.errors import UserError
from xner_ray.labeling.actors import LabelingJob
from xner_ray.labeling.isolation import ChildStartError, SubprocessWorker
from xner_ray.labeling.shard_functions import (
    AlignFunction,
    LabelAndAlignFunction,
    LabelFunction,
    LabelingModels,
    ShardFunctions,
    TokenizeFunction,
)
from xner_ray.observability.shard_timer import LogContext
from xner_ray.preflight.labeling_checks import check_models
from xner_ray.text.tags import label_list


def save_classifier(encoder, labels, seed, out):
    """A token classifier whose random head is sure of its labels, so that there are many entities."""
    torch.manual_seed(seed)
    model = load_model(encoder, labels)
    with torch.no_grad():
        model.classifier.weight.normal_(0, 2)
    model.save_pretrained(out)
    save_tokenizer(encoder, out)


@pytest.fixture(scope="module")
def models(tiny_encoder, tmp_path_factory) -> LabelingModels:
    folder = tmp_path_factory.mktemp("models")
    save_classifier(tiny_encoder, label_list(["PER", "LOC"]), 5, folder / "teacher")
    save_classifier(tiny_encoder, LABELS, 6, folder / "aligner")
    save_similarity(tiny_encoder, 1, folder / "aligner")
    decoding = Decoding(similarity_weight=0.5, exact_match_score=0.9)
    save_projector(folder / "aligner", decoding, 1, str(tiny_encoder))
    return LabelingModels({"de": str(folder / "teacher")}, str(folder / "aligner"), "en", False, 4096, "fp32", 1)


@pytest.fixture(scope="module")
def pairs() -> pa.Table:
    random = np.random.default_rng(0)
    words = ["anna", "berg", "lebt", "in", "ulm", "und", "nordwind", "met", "wien", "vienna", "mr", "haus"]
    lengths = random.integers(1, 25, size=(60, 2))
    sources, targets = ([" ".join(random.choice(words, size=n)) for n in lengths[:, i]] for i in (0, 1))
    return pa.table({"source": sources, "target": targets})


def label_and_align(models, table):
    """The labeled table, and the functions that ran."""
    label, align = LabelFunction(models), AlignFunction(models)
    table = table.append_column(schema.ENTITIES, label(table, "de")[0])
    return table.append_column(schema.PROJECTIONS, align(table, "de")[0]), (label.tagger("de"), align.projector)


def spans_and_scores(table):
    """All entities and projections without their scores, and the scores."""
    spans, scores = [], []
    for row in table.select(["entities", "projections"]).to_pylist():
        items = [*row["entities"], *row["projections"]]
        spans.append(
            [{k: v for k, v in item.items() if k not in ("score", "aligner", "similarity")} for item in items]
        )
        for item in items:
            scores += [np.nan if item.get(k) is None else item[k] for k in ("score", "aligner", "similarity")]
    return spans, np.array(scores)


def test_spans_are_equal_for_all_token_budgets(models, pairs):
    results = []
    for budget in (50, 300, 4096, 16_384, 65_536):
        table, (tagger, projector) = label_and_align(replace(models, max_batch_tokens=budget), pairs)
        results.append(spans_and_scores(table))
        # All three models have work.
        assert min(e.stats.tokens for e in (tagger.engine, projector.engine, projector.similarity.engine)) > 500
    assert sum(map(len, results[0][0])) > 100 and np.isfinite(results[0][1]).sum() > 200
    for spans, scores in results:
        assert spans == results[0][0]
        np.testing.assert_allclose(scores, results[0][1], atol=1e-3)


@pytest.mark.parametrize("same", [True, False])
def test_nothing_is_tokenized_a_second_time(models, pairs, tmp_path, monkeypatch, same):
    """With a similarity whose tokenizer is the teacher's, or another one."""
    if not same:
        teacher = tmp_path / "teacher"
        shutil.copytree(models.teachers["de"], teacher)
        config = teacher / "tokenizer_config.json"
        config.write_text(config.read_text() + " ")
        models = replace(models, teachers={"de": str(teacher)})
    expected, _ = label_and_align(models, pairs)
    column, _ = TokenizeFunction(models)(pairs, "de")
    kinds = set(column.flatten().field("kind").to_pylist())
    assert kinds == ({0, 1, 2, 3} if same else {0, 1, 2, 3, 4})
    texts, tokenize = [], Tokenizer.__call__

    def recorded(self, strings):
        texts.extend(strings)
        return tokenize(self, strings)

    monkeypatch.setattr(Tokenizer, "__call__", recorded)
    table, _ = label_and_align(models, pairs.append_column(schema.PRETOKENIZED, column))
    assert spans_and_scores(table)[0] == spans_and_scores(expected)[0]
    names = {source[e["start"] : e["end"]] for source, row in zip(
        pairs["source"].to_pylist(), table["entities"].to_pylist(), strict=True) for e in row}  # fmt: skip
    assert texts and set(texts) <= names


def test_process_whose_gpu_is_gone_does_not_start(models, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    functions = ShardFunctions()
    with pytest.raises(ChildStartError, match="torch sees no GPU"):
        SubprocessWorker(LabelAndAlignFunction, functions, replace(models, device="cuda"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(NoGpuError):
        LabelFunction(replace(models, device="cuda")).tagger("de")


def test_gpu_that_torch_does_not_see_is_refused_before_the_run(models, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    job = LabelingJob("unused", ShardFunctions(), models, 0.01, LogContext("test"))
    assert check_models(job, ["de"]).text == "fp32 on cpu"
    with pytest.raises(UserError, match="sees no GPU on a node that has GPU 3 of") as e:
        check_models(replace(job, models=replace(models, device="cuda")), ["de"])
    assert "nvidia-smi" in e.value.remedy


@pytest.mark.parametrize(
    "problem", ["CUDA error: unspecified launch failure", "CUDA out of memory. Tried to allocate 2 MiB"]
)
def test_gpu_that_cannot_run_the_models_is_named_before_the_run(models, monkeypatch, problem):
    def forward(*args, **kwargs):
        raise RuntimeError(f"{problem}\nfor debugging")

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    monkeypatch.setattr(TorchEngine, "_forward_probabilities", forward)
    job = LabelingJob("unused", ShardFunctions(), models, 0.01, LogContext("test"))
    with pytest.raises(UserError, match=f"GPU 3 of .* cannot run the models: RuntimeError: {problem[:20]}") as e:
        check_models(job, ["de"])
    assert "nvidia-smi" in e.value.remedy


def test_without_similarity_its_tokens_are_not_made(models, pairs, tmp_path):
    for name in ("teacher", "aligner"):
        shutil.copytree(models.teachers["de"] if name == "teacher" else models.aligner, tmp_path / name)
    with (tmp_path / "teacher/tokenizer_config.json").open("a") as file:
        file.write(" ")
    shutil.rmtree(tmp_path / "aligner" / FOLDER)
    without = replace(models, teachers={"de": str(tmp_path / "teacher")}, aligner=str(tmp_path / "aligner"))
    column, _ = TokenizeFunction(without)(pairs, "de")
    assert set(column.flatten().field("kind").to_pylist()) == {0, 1, 2, 3}
