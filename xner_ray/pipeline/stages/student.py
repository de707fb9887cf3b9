"""Students: what was fine-tuned on English goes on with the projected sentences of one target language.

`student.schedule` has the paper's other ways as well: both kinds of sentences at once, no English, nothing but English.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from xner_ray.config import TrainingConfig
from xner_ray.encoders.load import model_max_length
from xner_ray.encoders.tokenizer import Tokenizer
from xner_ray.ner.source_gold import encode_gold
from xner_ray.ner.token_labels import encode_tags
from xner_ray.ner.unlabeled_entities import unlabeled_capitalized
from xner_ray.ner.word_spans import WordSpans
from xner_ray.pipeline.context import Run, model_identity, once
from xner_ray.pipeline.stages.dataset import dataset
from xner_ray.pipeline.stages.source_models import (
    ModelSpec,
    base,
    english_models,
    english_training,
    gold_identity,
    start_folder,
    training_gold,
    without_types,
)
from xner_ray.storage.fingerprint import hash_file
from xner_ray.text.words import join_tokens, tokenize_words
from xner_ray.training.checkpoint import is_trained
from xner_ray.training.data import IGNORE_INDEX, TrainSet
from xner_ray.training.job import TrainJob


@dataclass(frozen=True)
class Student:
    """One trained student and its zero-transfer baseline, which a sequential one started from."""

    language: str
    encoder: str
    seed: int
    folder: Path
    base: Path


@once
def students(run: Run) -> list[Student]:
    """Train every student of the run that is missing, all in one worker group."""
    return students_of(run, run.config.languages)


def wanted_bases(run: Run, languages: Sequence[str]) -> dict[tuple[str, str, int], ModelSpec]:
    """The English model of each student, by its encoder, language and seed."""
    config = run.config.student
    encoders = [config.encoder] if isinstance(config.encoder, str) else config.encoder
    keys = [(encoder, language, seed) for encoder in encoders for language in languages for seed in config.seeds]
    return {key: base(run, *key) for key in keys}


def students_of(run: Run, languages: Sequence[str]) -> list[Student]:
    """Train the students of some languages, those that are missing."""
    config = run.config.student
    wanted = wanted_bases(run, languages)
    models: dict[ModelSpec, Path] = english_models(run, list(wanted.values()))
    if config.schedule == "source_only":
        return [Student(x, encoder, seed, models[e], models[e]) for (encoder, x, seed), e in wanted.items()]
    trained, jobs = [], []
    for (encoder, language, seed), item in wanted.items():
        english = models[item]
        start = _start(run, encoder, english)
        folder = _folder(run, language, seed, start)
        trained.append(Student(language, encoder, seed, folder, english))
        name = f"student {language}" + (f" seed {seed}" if len(config.seeds) > 1 else "")
        data = str(folder.with_name("data.npz"))
        job = TrainJob(name, str(start), labels_in(english), config.training, seed, data, str(folder))
        if not is_trained(job):
            jobs.append(_prepared(run, job, dataset(run).train[language], language))
    run.train(jobs)
    return trained


def _start(run: Run, encoder: str, english: Path) -> Path:
    """What projected sentences come to: a model that knows English, or the bare encoder."""
    return english if run.config.student.schedule == "sequential" else start_folder(run, encoder)


def _folder(run: Run, language: str, seed: int, start: Path) -> Path:
    """Where a student lies, named by all that it depends on."""
    config = run.config.student
    parts: dict[str, Any] = {
        "base": model_identity(start),
        "data": hash_file(dataset(run).train[language]),
        "training": config.training.model_dump(),
        "language": language,
        "mask_unlabeled_capitalized": config.mask_unlabeled_capitalized,
        "seed": seed,
    }
    if config.schedule == "mixed":
        english = {**gold_identity(run), "without": without_types(run, language)}
        parts["english"] = {**english, "epochs": english_training(run).epochs}
    return run.folder(f"student/{language}", parts, version="student").path / "model"


def labels_in(model: Path) -> list[str]:
    """The labels of a trained model, in the order of its head."""
    labels = json.loads((model / "config.json").read_text())["id2label"]
    return [labels[str(i)] for i in range(len(labels))]


def _prepared(run: Run, job: TrainJob, train: Path, language: str) -> TrainJob:
    """Write the training data of a job, and say what it is."""
    tokenizer, limit = Tokenizer(job.start), model_max_length(job.start)
    doubt = IGNORE_INDEX if run.config.student.mask_unlabeled_capitalized else None
    data, cut = encode_dataset(train, tokenizer, job.labels, language, limit, doubt)
    told = describe(job.training)
    if run.config.student.schedule == "mixed":
        sentences = training_gold(run, without_types(run, language))
        english, more = encode_gold(sentences, tokenizer, job.labels, limit)
        passes = english_training(run).epochs
        # What the sequential schedule sees one after the other, in one epoch: the losses' shares stay as they were.
        data = TrainSet.joined([english] * passes + [data] * job.training.epochs)
        job.training, cut = job.training.model_copy(update={"epochs": 1}), cut + more
        told += f", mixed with {passes} x {len(sentences):,} English sentences"
    data.save(Path(job.data))
    run.log(f"[{job.name}] {len(data.ids):,} sentences, {len(data.ids.values):,} tokens, {told}")
    if cut:
        run.log(f"[{job.name}] {cut} sentences are longer than the model and were cut at the end")
    return job


def describe(training: TrainingConfig) -> str:
    loss = training.loss if training.loss == "cross_entropy" else f"{training.loss} gamma {training.gamma:g}"
    frozen = f", {training.num_frozen_layers} layers frozen" if training.num_frozen_layers else ""
    return f"{training.epochs} epoch{'s'[: training.epochs > 1]}, {loss}{frozen}"


def encode_dataset(
    path: Path, tokenizer: Tokenizer, labels: list[str], language: str, limit: int, doubt: int | None = None
) -> tuple[TrainSet, int]:
    """Training data of an exported file: every second sentence as it was written, the others spaced as CoNLL spaces tokens.

    `doubt`: the label of capitalized words without a label, such as IGNORE_INDEX; None: O.
    """
    table = pq.read_table(path, columns=["target", "tokens", "ner_tags"])
    texts, spans = [], []
    targets, tokens = table.column("target").to_pylist(), table.column("tokens").to_pylist()
    for i, (target, row) in enumerate(zip(targets, tokens, strict=True)):
        text, where = (target, tokenize_words(target, language)) if i % 2 else join_tokens(row, language)
        texts.append(text)
        spans.append(where)
    ids = {label: i for i, label in enumerate(labels)}
    listed, marked = (table.column(c).combine_chunks() for c in ("tokens", "ner_tags"))
    flat = marked.flatten().to_pylist()
    # A type that the student's head lacks (the teacher's was turned into O there) is O here too.
    tags = np.fromiter((ids.get(tag, 0) for tag in flat), np.int32, len(flat))
    if doubt is not None:
        tags[unlabeled_capitalized(listed, marked, language).to_numpy(zero_copy_only=False)] = doubt
    return encode_tags(tokenizer, texts, WordSpans.from_lists(spans), tags, labels, limit)
