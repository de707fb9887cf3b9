"""The stage `aligner`: draws examples from the parallel text of the run, and trains one model for all target languages.

The stage has three pieces: the similarity encoder, the trained model, and the projector. The projector combines both with the
decoding settings, so a decoding setting can change without a training. The examples need the teacher's entities in a few thousand
pairs. These pairs are tagged here and again by `label`. This costs a few percent and keeps the stages independent.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from xner_ray.alignment.decoding import DECODING_KEYS, Decoding
from xner_ray.alignment.examples.held_out import measure_aligner
from xner_ray.config import Config
from xner_ray.corpora.readers.archive import file_identity
from xner_ray.errors import UserError
from xner_ray.labeling.shard_descriptor import ShardDescriptor
from xner_ray.pipeline.context import Context, model_identity
from xner_ray.pipeline.stage import Inputs, Piece, PieceDir, Stage
from xner_ray.pipeline.stages.aligner_checks import SCORES, score_held_out, warn_of_examples, weight_warnings
from xner_ray.pipeline.stages.aligner_examples import HELD_OUT_FILE, make_examples
from xner_ray.pipeline.stages.aligner_scores import PAIRS_FILE, fit_scores
from xner_ray.pipeline.stages.ingest import Ingested
from xner_ray.pipeline.stages.source_models import SourceModels
from xner_ray.pipeline.stages.tagger_training import describe_training, train_job, warn_of_few_steps
from xner_ray.storage.atomic import replace_dir, write_text
from xner_ray.storage.fingerprint import MODEL_FILES, fingerprint, hash_file, hash_folder
from xner_ray.storage.stage_dir import StageDir, check_contents
from xner_ray.training.data import TrainSet

SIMILARITY, TRAINED, PROJECTOR = "similarity", "trained", "projector"
TRANSLATOR_VERSION = 2  # raised when its translations change; other aligners do not depend on it
TRANSLATOR_FILES = (*MODEL_FILES, "generation_config.json", "*.spm")


class TrainAligner(Stage):
    """Makes the projector that `label` and `xner project` use. Result: its folder."""

    name, version = "aligner", 10
    sizes_only = "*"  # see `result`
    needs: tuple[str, ...] = ("ingest", "teacher")

    def describe(self, config: Config) -> str:
        aligner = config.aligner
        return (
            f"{aligner.encoder}, {aligner.num_examples:,} examples a language, {describe_training(aligner.training)}"
        )

    def pieces(self, ctx: Context, inputs: Inputs) -> list[Piece]:
        config, ingested, models = ctx.config, inputs["ingest"], inputs["teacher"]
        encoder = ctx.encoder_parts(config.aligner.encoder)
        similarity = {**encoder, "layer": config.aligner.similarity_layer}
        trained = {
            **encoder,
            "aligner": config.aligner.model_dump(exclude={"training", "min_f1", *DECODING_KEYS}, exclude_none=True),
            "training": config.aligner.training.fingerprint(),
            "teachers": {x: model_identity(folder) for x, folder in models.teachers().items()},
            "shards": {s.shard: s.input_hash for s in _example_shards(ingested, config)},
            "seed": config.seed,
            **_example_files(config),
        }
        if config.aligner.example_sources.get("translator"):
            trained["translator"] = TRANSLATOR_VERSION
        decoding = {key: getattr(config.aligner, key) for key in DECODING_KEYS}
        projector = {"trained": fingerprint(trained), "decoding": decoding, "languages": config.languages}
        pieces = [Piece(TRAINED, trained), Piece(PROJECTOR, projector, "aligner")]
        return [Piece(SIMILARITY, similarity), *pieces] if config.aligner.similarity_weight else pieces

    def run(self, ctx: Context, inputs: Inputs, todo: Sequence[PieceDir]) -> None:
        from xner_ray.alignment.projector import LABELS

        settings, missing = ctx.config.aligner, {piece.key: piece for piece in todo}
        start = ctx.start_folder(settings.encoder)
        if piece := missing.get(SIMILARITY):
            ctx.executor.compute(_save_similarity, str(start), settings.similarity_layer, str(piece.path))
            piece.commit()
        if piece := missing.get(TRAINED):
            if not (piece.path / "data.npz").exists():
                _write_examples(ctx, inputs["ingest"], inputs["teacher"], start, piece.path / "data.npz")
            names = "aligner", "aligner.training"
            if settings.similarity_weight < 1:
                data, more = TrainSet.load(piece.path / "data.npz"), "raise aligner.num_examples"
                warn_of_few_steps(ctx, *names, data, settings.training, more)
            ctx.executor.train([train_job(piece, *names, start, LABELS, settings.training, ctx.config.seed)])
        if piece := missing.get(PROJECTOR):
            paths = {p.key: p.path for p in self.directories(ctx, inputs)}
            _assemble(ctx, start, paths, piece.path / "model", _measure(ctx, paths))
            for line in weight_warnings(piece.path / "model"):
                ctx.log(f"[aligner] warning: {line}")
            _calibrate(ctx, paths[TRAINED] / PAIRS_FILE, piece.path / "model")
            _score(ctx, paths[TRAINED] / HELD_OUT_FILE, piece.path)

    def result(self, ctx: Context, inputs: Inputs, done: Mapping[str, StageDir]) -> Path:
        for directory in done.values():
            check_contents(directory.path)
        return done[PROJECTOR].path / "model"


def _example_files(config: Config) -> dict[str, Any]:
    """Return the hashes of the user's files of examples and of translators. Empty if the config names none.

    Raises:
        UserError: a file is missing.
    """
    files: dict[str, str] = {}
    check = "check the path in the config"
    download = f"download it from dumps.wikimedia.org, or {check}"
    for key, identity, remedy in (
        ("examples_file", hash_file, check),
        ("lexicon", hash_file, check),
        ("wikipedia_dump", file_identity, download),  # too large to read for a hash
        ("wikipedia_langlinks", file_identity, download),
    ):
        pattern = getattr(config.aligner, key)
        for language in config.languages if pattern else ():
            path = config.fill(pattern, language)
            if not Path(path).is_file():
                raise UserError("no such file", file=path, key=f"aligner.{key}", remedy=remedy)
            files[f"{key} {language}"] = str(identity(path))
    for language in config.languages if config.aligner.translator else ():
        translator = config.fill(str(config.aligner.translator), language)
        if Path(translator).is_dir():  # a hub id is part of the config
            files[f"translator {language}"] = hash_folder(translator, TRANSLATOR_FILES)
    return {"files": files} if files else {}


def _measure(ctx: Context, paths: Mapping[str, Path]) -> dict[str, Any]:
    """F1 of aligner and similarity on held-out examples by language, and the similarity's weight. Empty without a similarity."""
    from xner_ray.alignment.ensemble import FOLDER

    if SIMILARITY not in paths:
        return {}
    settings = ctx.config.aligner
    files = [str(p) for p in (paths[TRAINED] / "model", paths[TRAINED] / HELD_OUT_FILE, paths[SIMILARITY] / FOLDER)]
    decoding = Decoding.from_config(settings)
    return ctx.executor.compute(measure_aligner, *files, settings.similarity_layer, decoding, ctx.config.languages)


def _assemble(ctx: Context, start: Path, paths: Mapping[str, Path], out: Path, measured: Mapping[str, Any]) -> None:
    """Make the folder with trained model, similarity encoder and projector.json. Hard links save disk space."""
    from xner_ray.alignment.ensemble import FOLDER
    from xner_ray.alignment.projector_file import save_projector

    settings = ctx.config.aligner

    def write(folder: Path) -> None:
        _link_tree(paths[TRAINED] / "model", folder)
        if SIMILARITY in paths:
            _link_tree(paths[SIMILARITY] / FOLDER, folder / FOLDER)
        languages = {"source_language": ctx.config.source_language, "languages": ctx.config.languages}
        facts = {**languages, "run": ctx.config.name, "held_out": dict(measured)}
        decoding = Decoding.from_config(settings)
        weights = {x: row["similarity_weight"] for x, row in measured.items()}
        weights = {x: weight for x, weight in weights.items() if weight != decoding.similarity_weight}
        save_projector(folder, decoding, settings.similarity_layer, str(start), weights, **facts)

    replace_dir(out, write)


def _calibrate(ctx: Context, pairs: Path, folder: Path) -> None:
    """Fit the maps of the projector's scores. A projector with one model keeps its scores."""
    if not 0 < ctx.config.aligner.similarity_weight < 1:
        return
    for language, row in ctx.executor.compute(fit_scores, str(folder), str(pairs)).items():
        uses = "scores are calibrated" if row["map"] else "too few or too low for a calibration of its own"
        ctx.log(f"[aligner] {language}: both models agree on {row['agreement']:.0%} of {row['names']:,} names: {uses}")


def _score(ctx: Context, held_out: Path, out: Path) -> None:
    """Score the aligner on held-out examples, for `check_aligner`."""
    settings = ctx.config.aligner
    decoding = settings.threshold, settings.max_gap_words
    scores = ctx.executor.compute(score_held_out, str(out / "model"), str(held_out), *decoding)
    write_text(out / SCORES, json.dumps(scores, indent=1))


def _link_tree(source: Path, out: Path) -> None:
    """Copy a folder with hard links; on file systems without hard links, copy the files."""

    def link(file: str, to: str) -> None:
        try:
            os.link(file, to)
        except OSError:
            shutil.copyfile(file, to)

    shutil.copytree(source, out, copy_function=link, dirs_exist_ok=True)


def _save_similarity(encoder: str, layer: int, folder: str, threads: int) -> None:
    """Save the similarity encoder, in a worker, because the driver does not import torch."""
    from xner_ray.alignment.ensemble import save_similarity

    save_similarity(encoder, layer, folder)


def _example_shards(ingested: Ingested, config: Config) -> list[ShardDescriptor]:
    """Return the first shards of each language, with about as many pairs as `num_examples`."""
    chosen, pairs = [], dict.fromkeys(config.languages, 0)
    for shard in ingested.initial_shards():
        if pairs[shard.language] < config.aligner.num_examples:
            chosen.append(shard)
            pairs[shard.language] += shard.rows
    return chosen


def _write_examples(ctx: Context, ingested: Ingested, models: SourceModels, start: Path, out: Path) -> None:
    shards = _example_shards(ingested, ctx.config)
    ctx.log(f"[aligner] looking for examples in {sum(s.rows for s in shards):,} pairs")
    report = ctx.executor.compute(make_examples, ctx.config, models.teachers(), shards, start, out)
    for language, counts in report["languages"].items():
        ctx.log(f"[aligner] {language}: {', '.join(f'{n:,} {kind}' for kind, n in counts['counts'].items())}")
        for kind, n in counts["missing"].items():
            ctx.log(f"[aligner] {language}: {n:,} {kind} examples are missing: their source did not give more")
        for reason, n in counts["skipped"].items():
            ctx.log(f"[aligner] {language}: {n:,} rows give no examples, because a model fails on them: {reason}")
    warn_of_examples(ctx, report["languages"])
    if report["too_long"]:
        ctx.log(f"[aligner] {report['too_long']} examples are longer than the model and were left out")
