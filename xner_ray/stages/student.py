"""Students: what was fine-tuned on English goes on with the projected sentences of one target language."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from xner_ray.config import Training
from xner_ray.encoder.load import longest_row
from xner_ray.encoder.tokenise import Tokeniser
from xner_ray.ner.encode import Words, encode_tags
from xner_ray.runs.fingerprint import hash_file
from xner_ray.stages.context import Run, model_identity, once
from xner_ray.stages.dataset import dataset
from xner_ray.stages.english import Wanted, bases, english_models
from xner_ray.training.data import TrainSet
from xner_ray.training.loop import Job
from xner_ray.training.saving import is_trained
from xner_ray.words import join
from xner_ray.words import words as words_of


@dataclass(frozen=True)
class Student:
    """One trained student and what it started from, which is its zero-transfer baseline."""

    language: str
    encoder: str
    seed: int
    folder: Path
    base: Path


@once
def students(run: Run) -> list[Student]:
    """Train every student that is missing, all in one worker group."""
    config = run.config
    encoders = [config.student.encoder] if isinstance(config.student.encoder, str) else config.student.encoder
    data = dataset(run)
    wanted = {(e, language): w for e in encoders for language, w in bases(run, e).items()}
    models: dict[Wanted, Path] = english_models(run, list(wanted.values()))
    found, jobs = [], []
    for (encoder, language), item in wanted.items():
        base = models[item]
        for seed in config.student.seeds:
            parts = {
                "base": model_identity(base),
                "data": hash_file(data.train[language]),
                "training": config.student.training.model_dump(),
                "language": language,
                "seed": seed,
            }
            folder = run.folder(f"student/{language}", parts, version="student")
            student = Student(language, encoder, seed, folder.path / "model", base)
            found.append(student)
            name = f"student {language}" + (f" seed {seed}" if len(config.student.seeds) > 1 else "")
            job = Job(
                name, str(base), [], config.student.training, seed, str(folder.path / "data.npz"), str(student.folder)
            )
            if not is_trained(job):
                jobs.append(_prepared(run, job, data.train[language], language))
    run.train(jobs)
    return found


def _prepared(run: Run, job: Job, train: Path, language: str) -> Job:
    import json

    labels = json.loads((Path(job.start) / "config.json").read_text())["id2label"]
    job.labels = [labels[str(i)] for i in range(len(labels))]
    tokeniser = Tokeniser(job.start)
    data, cut = encode_dataset(train, tokeniser, job.labels, language, longest_row(job.start))
    data.save(Path(job.data))
    run.say(f"[{job.name}] {len(data.ids):,} sentences, {len(data.ids.values):,} tokens, {describe(job.training)}")
    if cut:
        run.say(f"[{job.name}] {cut} sentences are longer than the model and were cut at the end")
    return job


def describe(training: Training) -> str:
    loss = training.loss if training.loss == "cross_entropy" else f"{training.loss} gamma {training.gamma:g}"
    frozen = f", {training.freeze_layers} layers frozen" if training.freeze_layers else ""
    return f"{training.epochs} epoch{'s'[: training.epochs > 1]}, {loss}{frozen}"


def encode_dataset(
    path: Path, tokeniser: Tokeniser, labels: list[str], language: str, limit: int
) -> tuple[TrainSet, int]:
    """Training data of an exported file: every second sentence as it was written, the others spaced as CoNLL spaces tokens."""
    table = pq.read_table(path, columns=["target", "tokens", "ner_tags"])
    texts, spans = [], []
    targets, tokens = table.column("target").to_pylist(), table.column("tokens").to_pylist()
    for i, (target, row) in enumerate(zip(targets, tokens, strict=True)):
        text, where = (target, words_of(target, language)) if i % 2 else join(row, language)
        texts.append(text)
        spans.append(where)
    ids = {label: i for i, label in enumerate(labels)}
    flat = table.column("ner_tags").combine_chunks().flatten().to_pylist()
    # A type that the student's head lacks (the teacher's was turned into O there) is O here too.
    tags = np.fromiter((ids.get(tag, 0) for tag in flat), np.int32, len(flat))
    return encode_tags(tokeniser, texts, Words.of(spans), tags, limit)
