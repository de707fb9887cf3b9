"""Models fine-tuned on English gold: the teacher, and what a student starts from.

Both are the same thing, a (encoder, training, types left out), so where teacher and student share an encoder it is trained
once. A set of types that a target language lacks (Chinese has no MISC) is its own model, trained with those types as O.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xner_ray.config import TrainingConfig
from xner_ray.encoders.load import encoder_folder, model_max_length
from xner_ray.encoders.tokenizer import Tokenizer
from xner_ray.encoders.vocab_trimming import trimmed_folder
from xner_ray.ner.external_teacher import adopt_model, hash_model, original_labels, resolve_model
from xner_ray.ner.label_normalizer import normalize_labels
from xner_ray.ner.source_gold import encode_gold, entity_types, gold_labels, read_gold
from xner_ray.pipeline.context import Run, model_identity, once
from xner_ray.text.conll import Sentence
from xner_ray.training.checkpoint import is_trained
from xner_ray.training.job import TrainJob


@dataclass(frozen=True)
class ModelSpec:
    """An English model: which encoder, trained how, without which types; or one that is trained, and what its types mean."""

    encoder: str
    training: TrainingConfig
    without: tuple[str, ...]
    model: str | None = None
    label_map: tuple[tuple[str, str], ...] = ()
    seed: int | None = None  # of its training; None: the run's

    @property
    def name(self) -> str:
        seed = "" if self.seed is None else f"-seed-{self.seed}"
        return "english" + "".join(f"-no-{t}" for t in self.without) + seed


def without_types(run: Run, language: str) -> tuple[str, ...]:
    """Types that become O for a target language."""
    return tuple(sorted(run.config.teacher.drop_types.get(language, [])))


def teachers(run: Run) -> dict[str, ModelSpec]:
    """The teacher of each target language; where countries' names are looked for it keeps all types, as they decide."""
    teacher = run.config.teacher
    outside = (teacher.model, tuple(sorted(teacher.label_map.items())))
    without = {
        x: () if x in run.config.rules.demonym_country_type else without_types(run, x) for x in run.config.languages
    }
    return {x: ModelSpec(teacher.encoder, teacher.training, without[x], *outside) for x in run.config.languages}


def base(run: Run, encoder: str, language: str, seed: int) -> ModelSpec:
    """The English model that a student starts from, or is compared with."""
    student = run.config.student
    own = seed if student.source_model_per_seed and seed != run.config.seed else None
    return ModelSpec(encoder, english_training(run), without_types(run, language), seed=own)


def english_training(run: Run) -> TrainingConfig:
    """How the English part of a student is trained."""
    return run.config.student.source_training or run.config.teacher.training


def start_folder(run: Run, encoder: str) -> Path:
    """The encoder, with the vocabulary of the run's languages alone."""
    languages = [run.config.source_language, *run.config.languages]
    return trimmed_folder(encoder_folder(encoder), languages, run.out / "encoders")


def english_models(run: Run, wanted: list[ModelSpec]) -> dict[ModelSpec, Path]:
    """Folders of the models; those that are missing are trained, all in one worker group."""
    jobs, folders = [], {}
    for item in dict.fromkeys(wanted):
        if item.model is not None:
            folders[item] = _adopted(run, item, item.model)
            continue
        job = english_job(run, item)
        folders[item] = Path(job.out)
        if not is_trained(job):
            jobs.append(_prepared(run, job, item))
    run.train(jobs)
    return folders


def english_job(run: Run, item: ModelSpec) -> TrainJob:
    """The training of an English model, without its data, which `english_models` writes when it is to be trained."""
    start, seed = start_folder(run, item.encoder), run.config.seed if item.seed is None else item.seed
    parts = {
        "encoder": model_identity(start),
        "training": item.training.model_dump(),
        "without": item.without,
        "seed": seed,
        **gold_identity(run),
    }
    folder = run.folder(item.name, parts, version="english").path
    return TrainJob(item.name, str(start), [], item.training, seed, str(folder / "data.npz"), str(folder / "model"))


def gold_identity(run: Run) -> dict[str, Any]:
    """What identifies the gold that is trained on: its files, and what of them is left out, if anything is."""
    held = held_out_gold(run)
    return {"gold": run.gold_parts(run.config.gold)} | ({"held_out": held} if held else {})


def training_gold(run: Run, without: Sequence[str]) -> list[Sentence]:
    """Gold sentences to train on, with the types `without` as O."""
    held = set(held_out_gold(run))
    gold = read_gold(run.config.gold, run.config.fill, without)
    return [sentence for i, sentence in enumerate(gold) if i not in held]


@once
def held_out_gold(run: Run) -> list[int]:
    """Which sentences of the gold files are in an evaluation file too, so that nothing trains on them."""
    if not {item.language for item in run.config.gold} & {item.language for item in run.measured}:
        return []
    gold = read_gold(run.config.gold, run.config.fill)
    held = run.held_out.among(gold)
    if held:
        told = f"{len(held):,} of {len(gold):,} gold sentences are left out: evaluation files have them, too"
        run.log(f"[english] {told}")
    return held


def _adopted(run: Run, item: ModelSpec, model: str) -> Path:
    """The folder of a teacher that is trained already, its labels mapped."""
    source = resolve_model(model)
    parts = {"model": hash_model(source), "label_map": dict(item.label_map), "without": item.without}
    folder = run.folder("teacher", parts, version="english").path / "model"
    if not (folder / "config.json").exists():
        adopt_model(source, folder, dict(item.label_map), item.without)
        types = {
            x[2:] for x in normalize_labels(original_labels(source), dict(item.label_map), item.without) if x != "O"
        }
        run.log(f"[teacher] {model} labels {' '.join(sorted(types))}")
        strange = types - set(entity_types(read_gold(run.config.gold, run.config.fill, item.without)))
        if strange:
            told = f"{' '.join(sorted(strange))}: no gold sentence has these types, so students learn them as O"
            run.log(f"[teacher] {told}; rename or drop them with teacher.label_map")
    return folder


def _prepared(run: Run, job: TrainJob, item: ModelSpec) -> TrainJob:
    """Write the training data of a job, and say what it is."""
    sentences = training_gold(run, item.without)
    job.labels = gold_labels(sentences)
    tokenizer = Tokenizer(job.start)
    limit = model_max_length(job.start)
    data, cut = encode_gold(sentences, tokenizer, job.labels, limit)
    data.save(Path(job.data))
    told = f"{len(sentences):,} sentences, {len(data.ids.values):,} tokens, {item.training.epochs} epochs"
    run.log(f"[{job.name}] {told}, labels {' '.join(x[2:] for x in job.labels if x.startswith('B-'))}")
    if cut:
        run.log(f"[{job.name}] {cut} sentences are longer than {limit} tokens and were cut at the end")
    return job
