"""What the trainings of source models and students have in common: their gold, the gold of their temperature, and their job."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from xner_ray.config import Config, GoldConfig, TrainingConfig
from xner_ray.encoders.load import model_max_length
from xner_ray.encoders.tokenizer import Tokenizer
from xner_ray.errors import UserError
from xner_ray.ner.source_gold import encode_calibration, read_gold
from xner_ray.pipeline.context import Context
from xner_ray.pipeline.stage import PieceDir
from xner_ray.storage.stage_dir import digest
from xner_ray.text.conll import Sentence
from xner_ray.training.data import TrainSet, plan_epoch
from xner_ray.training.job import TrainJob

MIN_STEPS = 60  # optimizer steps; a new head learns little in fewer


def drop_types(config: Config, language: str) -> tuple[str, ...]:
    """Return the types that become O for a target language."""
    return tuple(sorted(config.teacher.drop_types.get(language, [])))


def source_training(config: Config) -> TrainingConfig:
    """Return the hyperparameters of a student's training on source gold."""
    return config.student.source_training or config.teacher.training


def source_gold_parts(ctx: Context) -> dict[str, Any]:
    """Return the fingerprint parts of the training gold: its files, and the indices of excluded sentences, if any."""
    gold = ctx.gold_parts(ctx.config.gold)  # first: it checks that the files exist
    excluded = ctx.excluded_gold
    return {"gold": gold} | ({"held_out": excluded} if excluded else {})


def training_gold(ctx: Context, drop: Sequence[str]) -> list[Sentence]:
    """Return the gold sentences to train on. The types `drop` become O."""
    excluded = set(ctx.excluded_gold)
    gold = read_gold(ctx.config.gold, ctx.config.fill, drop)
    if len(excluded) == len(gold):
        problem = f"all {len(gold):,} gold sentences are also in evaluation files, so none is left to train on"
        raise UserError(problem, key="gold", remedy="name other files under `dev` and `evaluation`")
    return [sentence for i, sentence in enumerate(gold) if i not in excluded]


def calibration_parts(ctx: Context, drop: Sequence[str]) -> dict[str, Any]:
    """Return the fingerprint parts of the gold that fits the temperature of a tagger; empty without dev gold."""
    dev = calibration_gold(ctx.config)
    return {"calibration": {"gold": ctx.gold_parts(dev), "drop_types": list(drop)}} if dev else {}


def calibration_gold(config: Config) -> list[GoldConfig]:
    """Return the dev gold of the source language."""
    return [gold for gold in config.dev if gold.language == config.source_language]


def describe_training(training: TrainingConfig) -> str:
    """Describe epochs, loss, learning rate and frozen layers in a few words."""
    loss = (
        "cross entropy" if training.loss == "cross_entropy" else f"{training.loss} loss with gamma {training.gamma:g}"
    )
    frozen = f", {training.num_frozen_layers} layers frozen" if training.num_frozen_layers else ""
    epochs = f"{training.epochs} epoch{'s'[: training.epochs > 1]}"
    return f"{epochs} of {loss}, learning rate {training.learning_rate:g}{frozen}"


def warn_of_few_steps(
    ctx: Context, name: str, key: str, data: TrainSet, training: TrainingConfig, more_data: str = "add data"
) -> None:
    """Log a warning if a training has so few optimizer steps that the model learns little.

    Args:
        ctx: of the run.
        name: of the model.
        key: section of the config with the hyperparameters.
        data: of the training.
        training: hyperparameters.
        more_data: the remedy that gives more data.
    """
    size = training.tokens_per_step, 0, 0, training.sequences_per_step
    steps = training.epochs * len(plan_epoch(data.ids.lengths, *size))
    if steps < MIN_STEPS:
        smaller = "sequences_per_step" if training.sequences_per_step else "tokens_per_step"
        problem = f"{len(data.ids):,} rows are only {steps} optimizer steps"
        ctx.log(f"[{name}] warning: {problem}; lower {key}.{smaller}, raise {key}.epochs, or {more_data}")


def save_calibration(ctx: Context, piece: PieceDir, start: Path, labels: list[str], drop: Sequence[str]) -> str | None:
    """Write the data that fits the temperature of a tagger. Returns its file; None: the run has no dev gold.

    Args:
        ctx: of the run.
        piece: of the model.
        start: folder of the model that the training starts from.
        labels: of the model.
        drop: types that become O.
    """
    sentences = read_gold(calibration_gold(ctx.config), ctx.config.fill, drop)
    data = encode_calibration(sentences, Tokenizer(str(start)), labels, model_max_length(start))
    if data is None:
        return None
    file = piece.path / "calibration.npz"
    data.save(file)
    return str(file)


def train_job(
    piece: PieceDir,
    name: str,
    section: str,
    start: Path,
    labels: list[str],
    training: TrainingConfig,
    seed: int,
    languages: Sequence[str] = (),
    calibration: str | None = None,
) -> TrainJob:
    """Return a training that reads its data from the piece's directory, and commits the piece when the model is saved.

    Args:
        piece: of the model.
        name, section, start, labels, training, seed, languages, calibration: see `TrainJob`.
    """
    return TrainJob(
        name,
        str(start),
        labels,
        training,
        seed,
        data=str(piece.path / "data.npz"),
        out=str(piece.path / "model"),
        languages=list(languages),
        calibration=calibration,
        section=section,
        marker={"items": digest(piece.piece.items)},
    )
