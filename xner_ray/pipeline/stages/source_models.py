"""The stage `teacher`: fine-tunes taggers on gold of the source language.

Teachers, and the models that students start from, are both defined by an encoder, a training, and the types that become O. If two
of them are equal in all three, one model is used for both. If the config names a trained tagger as the teacher, it is copied
instead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xner_ray.config import Config, TrainingConfig
from xner_ray.encoders.load import model_max_length
from xner_ray.encoders.tokenizer import Tokenizer
from xner_ray.ner.external_teacher import adopt_model, hash_model, normalized_labels, resolve_model, stays_bio2
from xner_ray.ner.source_gold import encode_gold, entity_types, gold_labels, read_gold
from xner_ray.pipeline.context import Context, NotAvailableOffline
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
from xner_ray.storage.stage_dir import StageDir, check_contents, digest
from xner_ray.training.job import TrainJob


@dataclass(frozen=True)
class ModelSpec:
    """A model of the source language.

    Attributes:
        encoder: encoder to fine-tune.
        training: hyperparameters of the training.
        drop_types: types that become O.
        model: a trained tagger that is used without training; None: train one.
        label_map: (label, type) pairs for the labels of `model`.
        seed: seed of the training; None: the seed of the run.
    """

    encoder: str
    training: TrainingConfig
    drop_types: tuple[str, ...]
    model: str | None = None
    label_map: tuple[tuple[str, str], ...] = ()
    seed: int | None = None

    @property
    def name(self) -> str:
        """The name in log lines and of the directory."""
        seed = "" if self.seed is None else f"-seed-{self.seed}"
        return ("external" if self.model else "source") + "".join(f"-no-{t}" for t in self.drop_types) + seed


@dataclass(frozen=True)
class SourceModels:
    """The folders of the source models."""

    folders: dict[ModelSpec, Path]
    config: Config

    def teacher(self, language: str) -> Path:
        """Return the teacher's folder of a target language."""
        return self.folders[teacher_spec(self.config, language)]

    def teachers(self) -> dict[str, Path]:
        """Return the teacher's folder of each target language."""
        return {x: self.teacher(x) for x in self.config.languages}

    def zero_shot(self, encoder: str, language: str, seed: int) -> Path:
        """Return the folder of the model that a student starts from, or is compared with."""
        return self.folders[zero_shot_spec(self.config, encoder, language, seed)]

    def named(self) -> dict[str, Path]:
        """Return the folder of each model by its name, for reports."""
        return {spec.name: folder for spec, folder in self.folders.items()}


class TrainSourceModels(Stage):
    """Trains the source models that are missing. Result: `SourceModels`.

    Args:
        specs: the models. Default: the teachers of the run, and the models that its students start from.
    """

    name, version = "teacher", 3
    sizes_only = "*"  # see `result`
    needs: tuple[str, ...] = ("sample",)

    def __init__(self, specs: Sequence[ModelSpec] | None = None):
        self.chosen = specs

    def specs(self, config: Config) -> list[ModelSpec]:
        """Return the models without duplicates."""
        if self.chosen is not None:
            return list(dict.fromkeys(self.chosen))
        return list(dict.fromkeys([*(teacher_spec(config, x) for x in config.languages), *zero_shot_specs(config)]))

    def describe(self, config: Config) -> str:
        if config.teacher.model:
            return f"{config.teacher.model}, used as it is"
        count = len({teacher_spec(config, x) for x in config.languages})
        return f"{count} x {config.teacher.encoder}, {describe_training(config.teacher.training)}"

    def pieces(self, ctx: Context, inputs: Inputs) -> list[Piece]:
        return [_piece(ctx, key, spec) for key, spec in self._keyed(ctx.config).items()]

    def run(self, ctx: Context, inputs: Inputs, todo: Sequence[PieceDir]) -> None:
        specs, jobs = self._keyed(ctx.config), []
        for piece in todo:
            spec = specs[piece.key]
            if spec.model is None:
                jobs.append(_job(ctx, piece, spec))
            else:
                _adopt(ctx, piece.path / "model", spec, spec.model)
                piece.commit()
        ctx.executor.train(jobs)

    def result(self, ctx: Context, inputs: Inputs, done: Mapping[str, StageDir]) -> SourceModels:
        for directory in done.values():
            check_contents(directory.path)
        return SourceModels(
            {spec: done[key].path / "model" for key, spec in self._keyed(ctx.config).items()}, ctx.config
        )

    def _keyed(self, config: Config) -> dict[str, ModelSpec]:
        """Return the models by unique keys, because models of different encoders can have the same name."""
        specs = self.specs(config)
        names = [spec.name for spec in specs]
        keys = [n if names.count(n) == 1 else f"{n} {s.encoder} {digest({'training': s.training.model_dump_json()})}"
                for n, s in zip(names, specs, strict=True)]  # fmt: skip
        return dict(zip(keys, specs, strict=True))


def teacher_spec(config: Config, language: str) -> ModelSpec:
    """Return the teacher of a target language. It keeps all types if demonyms are relabeled, because their types are needed."""
    teacher = config.teacher
    drop = () if language in config.rules.demonym_country_type else drop_types(config, language)
    return ModelSpec(teacher.encoder, teacher.training, drop, teacher.model, tuple(sorted(teacher.label_map.items())))


def zero_shot_spec(config: Config, encoder: str, language: str, seed: int) -> ModelSpec:
    """Return the model that a student starts from, or is compared with."""
    own = seed if config.student.source_model_per_seed and seed != config.seed else None
    return ModelSpec(encoder, source_training(config), drop_types(config, language), seed=own)


def zero_shot_specs(config: Config, languages: Sequence[str] | None = None) -> list[ModelSpec]:
    """Return the source models of all students without duplicates. `languages`: default: all of the run."""
    chosen = languages or config.languages
    keys = [(e, x, s) for e in config.student.encoders for x in chosen for s in config.student.seeds]
    return list(dict.fromkeys(zero_shot_spec(config, *key) for key in keys))


def _piece(ctx: Context, key: str, spec: ModelSpec) -> Piece:
    parts: dict[str, Any]
    if spec.model is None:
        seed = ctx.config.seed if spec.seed is None else spec.seed
        parts = {"training": spec.training.fingerprint(), "drop_types": spec.drop_types, "seed": seed}
        parts |= ctx.encoder_parts(spec.encoder) | source_gold_parts(ctx) | calibration_parts(ctx, spec.drop_types)
    else:
        if ctx.offline and not spec.model.startswith("spacy:") and not Path(spec.model).is_dir():
            raise NotAvailableOffline(f"the model `{spec.model}` is not a local folder")
        folder = resolve_model(spec.model)
        parts = {"model": hash_model(folder), "label_map": dict(spec.label_map), "drop_types": spec.drop_types}
        parts["labels"] = normalized_labels(folder, dict(spec.label_map), spec.drop_types)
        parts |= {"scheme": "bio2"} if stays_bio2(folder, parts["labels"]) else {}
    return Piece(key, parts, f"teacher/{spec.name}")


def _adopt(ctx: Context, folder: Path, spec: ModelSpec, model: str) -> None:
    """Copy a trained tagger, with its labels mapped."""
    source = resolve_model(model)
    adopt_model(source, folder, dict(spec.label_map), spec.drop_types, [ctx.config.source_language])
    types = {x[2:] for x in normalized_labels(source, dict(spec.label_map), spec.drop_types) if x != "O"}
    ctx.log(f"[teacher] {model} labels {' '.join(sorted(types))}")
    unknown = types - set(entity_types(read_gold(ctx.config.gold, ctx.config.fill, spec.drop_types)))
    if unknown:
        line = f"{' '.join(sorted(unknown))}: no gold sentence has these types, so students learn them as O"
        ctx.log(f"[teacher] warning: {line}; rename or drop them with teacher.label_map")


def _job(ctx: Context, piece: PieceDir, spec: ModelSpec) -> TrainJob:
    """Write the training data of a model, and log its size."""
    start = ctx.start_folder(spec.encoder)
    sentences = training_gold(ctx, spec.drop_types)
    labels, limit = gold_labels(sentences), model_max_length(start)
    data, truncated = encode_gold(sentences, Tokenizer(str(start)), labels, limit)
    data.save(piece.path / "data.npz")
    seed = ctx.config.seed if spec.seed is None else spec.seed
    size = f"{len(sentences):,} sentences, {len(data.ids.values):,} tokens, {spec.training.epochs} epochs"
    ctx.log(f"[{spec.name}] {size}, labels {' '.join(x[2:] for x in labels if x.startswith('B-'))}")
    if truncated:
        ctx.log(f"[{spec.name}] {truncated} sentences are longer than {limit} tokens and were truncated")
    own = spec.training == ctx.config.student.source_training != ctx.config.teacher.training
    section = "student.source_training" if own else "teacher.training"
    warn_of_few_steps(ctx, spec.name, section, data, spec.training)
    calibration = save_calibration(ctx, piece, start, labels, spec.drop_types)
    source = [ctx.config.source_language]
    return train_job(piece, spec.name, section, start, labels, spec.training, seed, source, calibration)
