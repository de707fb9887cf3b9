"""The stage `student`: fine-tunes a source model on the projected sentences of one target language.

`student.schedule` selects other training data, as in the paper: both kinds of sentences mixed, projected sentences alone, or
source gold alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from xner_ray.config import Config
from xner_ray.encoders.load import model_max_length
from xner_ray.encoders.tokenizer import Tokenizer
from xner_ray.ner.label_normalizer import model_labels, read_config
from xner_ray.ner.source_gold import encode_gold
from xner_ray.ner.token_labels import encode_tags
from xner_ray.ner.unlabeled_entities import unlabeled_capitalized
from xner_ray.ner.word_spans import WordSpans
from xner_ray.pipeline.context import Context, model_identity
from xner_ray.pipeline.stage import Inputs, Piece, PieceDir, Stage
from xner_ray.pipeline.stages.tagger_training import (
    calibration_parts,
    describe_training,
    drop_types,
    save_calibration,
    source_gold_parts,
    source_training,
    train_job,
    training_gold,
    warn_of_few_steps,
)
from xner_ray.storage.fingerprint import hash_file
from xner_ray.storage.stage_dir import StageDir, check_contents
from xner_ray.text.words import join_tokens, tokenize_words
from xner_ray.training.data import IGNORE_INDEX, TrainSet
from xner_ray.training.job import TrainJob


@dataclass(frozen=True)
class Student:
    """A trained student.

    Attributes:
        language: target language.
        encoder: encoder in the config.
        seed: seed of the training.
        folder: folder of the model.
        base: folder of the source model that it is compared with. A sequential student started from it.
    """

    language: str
    encoder: str
    seed: int
    folder: Path
    base: Path


class TrainStudents(Stage):
    """Trains the missing students. Result: a list of `Student`.

    Args:
        languages: target languages. Default: all of the run.
    """

    name, version = "student", 3
    sizes_only = "*"  # see `result`
    needs: tuple[str, ...] = ("teacher", "dataset")

    def __init__(self, languages: Sequence[str] | None = None):
        self.languages = languages

    def describe(self, config: Config) -> str:
        encoders = config.student.encoders
        count = len(encoders) * len(self.languages or config.languages) * len(config.student.seeds)
        return f"{count} models from {', '.join(encoders)}, {describe_training(config.student.training)}"

    def pieces(self, ctx: Context, inputs: Inputs) -> list[Piece]:
        if ctx.config.student.schedule == "source_only":
            return []  # the models of the stage `teacher` are the students
        return [_piece(ctx, inputs, key, *what) for key, what in self._keyed(ctx.config).items()]

    def run(self, ctx: Context, inputs: Inputs, todo: Sequence[PieceDir]) -> None:
        keyed = self._keyed(ctx.config)
        ctx.executor.train([_job(ctx, inputs, piece, *keyed[piece.key]) for piece in todo])

    def result(self, ctx: Context, inputs: Inputs, done: Mapping[str, StageDir]) -> list[Student]:
        students = []
        for directory in done.values():
            check_contents(directory.path)
        for key, (language, encoder, seed) in self._keyed(ctx.config).items():
            base = inputs["teacher"].zero_shot(encoder, language, seed)
            folder = done[key].path / "model" if key in done else base
            students.append(Student(language, encoder, seed, folder, base))
        return students

    def _keyed(self, config: Config) -> dict[str, tuple[str, str, int]]:
        """Return language, encoder and seed of each student, by its key."""
        encoders, seeds = config.student.encoders, config.student.seeds
        keyed = {}
        for encoder in encoders:
            for language in self.languages or config.languages:
                for seed in seeds:
                    key = language + (f" {encoder}" if len(encoders) > 1 else "")
                    key += f" seed {seed}" if len(seeds) > 1 else ""
                    keyed[key] = (language, encoder, seed)
        return keyed


def encode_dataset(
    path: Path, tokenizer: Tokenizer, labels: list[str], language: str, limit: int, unlabeled: int | None = None
) -> tuple[TrainSet, int]:
    """Encode a file of the stage `dataset` as training data.

    Every second sentence keeps its original spaces. In the others, tokens are joined as in CoNLL files.

    Args:
        path: the Parquet file, with `schema.EXPORTED`.
        tokenizer: tokenizer of the model.
        labels: labels of the model's head. A type that the model lacks becomes O.
        language: language of the sentences.
        limit: maximum number of tokens of a row.
        unlabeled: label id of unlabeled capitalized words, such as IGNORE_INDEX; None: O.

    Returns:
        the training data, and the number of truncated sentences.
    """
    table = pq.read_table(path, columns=["target", "tokens", "ner_tags"])
    texts, spans = [], []
    targets, tokens = table.column("target").to_pylist(), table.column("tokens").to_pylist()
    for i, (target, row) in enumerate(zip(targets, tokens, strict=True)):
        text, words = (target, tokenize_words(target, language)) if i % 2 else join_tokens(row, language)
        texts.append(text)
        spans.append(words)
    ids = {label: i for i, label in enumerate(labels)}
    token_lists, tag_lists = (table.column(c).combine_chunks() for c in ("tokens", "ner_tags"))
    flat = tag_lists.flatten().to_pylist()
    tags = np.fromiter((ids.get(tag, 0) for tag in flat), np.int32, len(flat))
    if unlabeled is not None:
        tags[unlabeled_capitalized(token_lists, tag_lists, language).to_numpy(zero_copy_only=False)] = unlabeled
    return encode_tags(tokenizer, texts, WordSpans.from_lists(spans), tags, labels, limit)


def _piece(ctx: Context, inputs: Inputs, key: str, language: str, encoder: str, seed: int) -> Piece:
    config = ctx.config.student
    start: dict[str, Any] = ctx.encoder_parts(encoder)
    if config.schedule == "sequential":
        start = {"model": model_identity(inputs["teacher"].zero_shot(encoder, language, seed))}
    parts: dict[str, Any] = {
        "start": start,
        "data": hash_file(inputs["dataset"].train[language]),
        "training": config.training.fingerprint(),
        "language": language,
        "labels": model_labels(read_config(inputs["teacher"].zero_shot(encoder, language, seed))),
        "mask_unlabeled_capitalized": config.mask_unlabeled_capitalized,
        "seed": seed,
    }
    parts |= calibration_parts(ctx, drop_types(ctx.config, language))
    if config.schedule == "mixed":
        source = {**source_gold_parts(ctx), "drop_types": drop_types(ctx.config, language)}
        parts["source"] = {**source, "epochs": source_training(ctx.config).epochs}
    return Piece(key, parts, f"student/{language}")


def _job(ctx: Context, inputs: Inputs, piece: PieceDir, language: str, encoder: str, seed: int) -> TrainJob:
    """Write the training data of a student, and log its size."""
    config, base = ctx.config.student, inputs["teacher"].zero_shot(encoder, language, seed)
    start = base if config.schedule == "sequential" else ctx.start_folder(encoder)
    name, labels, training = f"student {piece.key}", model_labels(read_config(base)), config.training
    tokenizer, limit = Tokenizer(str(start)), model_max_length(start)
    unlabeled = IGNORE_INDEX if config.mask_unlabeled_capitalized else None
    data, truncated = encode_dataset(inputs["dataset"].train[language], tokenizer, labels, language, limit, unlabeled)
    text = describe_training(training)
    if config.schedule == "mixed":
        sentences = training_gold(ctx, drop_types(ctx.config, language))
        source, more = encode_gold(sentences, tokenizer, labels, limit)
        epochs = source_training(ctx.config).epochs
        # One epoch over the data of both steps of the sequential schedule, so each kind of sentence keeps its weight.
        data = TrainSet.joined([source] * epochs + [data] * training.epochs)
        training, truncated = training.model_copy(update={"epochs": 1}), truncated + more
        text += f", mixed with {epochs} x {len(sentences):,} sentences of the source language"
    data.save(piece.path / "data.npz")
    ctx.log(f"[{name}] {len(data.ids):,} sentences, {len(data.ids.values):,} tokens, {text}")
    if truncated:
        ctx.log(f"[{name}] {truncated} sentences are longer than the model and were truncated")
    section = "student.training"
    warn_of_few_steps(ctx, name, section, data, config.training)
    calibration = save_calibration(ctx, piece, start, labels, drop_types(ctx.config, language))
    return train_job(piece, name, section, start, labels, training, seed, [language], calibration)
