"""The stage `dataset`: samples the training sentences of each target language from the filtered pairs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from xner_ray.config import Config, DatasetConfig
from xner_ray.corpora.collection import Collection
from xner_ray.pipeline.context import Context
from xner_ray.pipeline.stage import Inputs, Piece, PieceDir, Stage
from xner_ray.pipeline.stages.filter import Filtered, open_filtered
from xner_ray.pipeline.stages.ingest import collection_folder
from xner_ray.projection.exclusions import Exclusions
from xner_ray.projection.sentence_sampling import sample_sentences
from xner_ray.storage.atomic import write_json
from xner_ray.storage.stage_dir import StageDir
from xner_ray.text.sentence_keys import target_keys

TRAIN, SUMMARY = "train.parquet", "summary.json"


@dataclass(frozen=True)
class Dataset:
    """The training data of a run.

    Attributes:
        train: the Parquet file of each language.
        summary: the counts of each language's sample, see `projection.sentence_sampling`.
    """

    train: dict[str, Path]
    summary: dict[str, dict[str, Any]]


class SampleSentences(Stage):
    """Samples training sentences into one file for each language. Result: `Dataset`.

    Args:
        languages: target languages. Default: all of the run.
    """

    name, version = "dataset", 4
    needs: tuple[str, ...] = ("filter",)

    def __init__(self, languages: Sequence[str] | None = None):
        self.languages = languages

    def describe(self, config: Config) -> str:
        settings = config.dataset
        return f"at most {settings.max_sentences:,} sentences a language, {settings.no_entity_ratio:.0%} without an entity"

    def pieces(self, ctx: Context, inputs: Inputs) -> list[Piece]:
        return [self._piece(ctx, inputs, x) for x in self.languages or ctx.config.languages]

    def _piece(self, ctx: Context, inputs: Inputs, language: str) -> Piece:
        filtered = inputs["filter"]
        parts: dict[str, Any] = {
            "filter": filtered.path.name,
            "dataset": ctx.config.dataset.for_language(language).model_dump(),
            "shards": filtered.sources_of(language),
            "seed": ctx.config.seed,
        }
        if excluded := excluded_rows(ctx, language):
            parts["excluded"] = excluded.hashes()
        return Piece(language, parts)

    def run(self, ctx: Context, inputs: Inputs, todo: Sequence[PieceDir]) -> None:
        for piece in todo:
            language, train = piece.key, piece.path / TRAIN
            settings, exclusions = ctx.config.dataset.for_language(language), excluded_rows(ctx, language)
            summary = sample_filtered(ctx, inputs["filter"], language, train, settings, ctx.config.seed, exclusions)
            for note in summary.get("notes", []):
                ctx.log(f"[dataset] {language}: {note}")
            write_json(piece.path / SUMMARY, summary)
            piece.commit()
            ctx.log(
                f"[dataset] {language}: {summary['sentences']:,} sentences, {summary['entities']:,} entities,"
                f" {summary['without_entity']:,} sentences without an entity"
            )

    def result(self, ctx: Context, inputs: Inputs, done: Mapping[str, StageDir]) -> Dataset:
        summaries = {x: json.loads((d.path / SUMMARY).read_text(encoding="utf-8")) for x, d in done.items()}
        return Dataset({x: d.path / TRAIN for x, d in done.items()}, summaries)


def sample_filtered(
    ctx: Context,
    filtered: Filtered,
    language: str,
    out: Path,
    settings: DatasetConfig,
    seed: int,
    exclusions: Exclusions | None = None,
) -> dict[str, Any]:
    """Sample sentences of a language in tasks of the executor; see `sample_sentences`."""
    return sample_sentences(
        filtered.shards_of(language),
        out,
        settings,
        seed,
        exclusions,
        counts=filtered.ledger.kept(language, settings.corpora),
        open_shard=partial(open_filtered, path=filtered.path),
        mapper=ctx.executor.map,
    )


def silver_file(out: Path, language: str) -> Path:
    """Return the file of a language's silver set (`workflows/refresh/silver.py`). No model is trained on its sentences."""
    return out / "silver" / f"{language}.parquet"


def excluded_rows(ctx: Context, language: str) -> Exclusions:
    """Return the rows that are excluded from training: withdrawn pairs of a collection, and sentences of the silver set."""
    file, withdrawn = silver_file(ctx.out, language), np.zeros(0, np.uint64)
    if ctx.config.ingest.incremental:
        withdrawn = Collection(collection_folder(ctx.out, language)).tombstones()
    if not file.exists():
        return Exclusions(withdrawn)
    return Exclusions(withdrawn, target_keys(pq.read_table(file, columns=["target"]).column("target")))
