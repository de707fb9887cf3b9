"""The stage `filter`: gives every labeled pair a verdict, and checks that the ledger of the run adds up.

Filters read stored scores, so a threshold can change without a GPU. Each labeled shard becomes one filtered shard, with the same
commits as in labeling. The counts of the ledger are in the manifests, so the shards are not read a second time.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from xner_ray.config import Config, RulesConfig
from xner_ray.observability.run_metrics import record_verdicts
from xner_ray.pipeline.context import Context
from xner_ray.pipeline.stage import Inputs, Piece, PieceDir, Stage
from xner_ray.pipeline.stages.label import Labeled, discard_damaged_shards, shards_problem
from xner_ray.projection.demonyms import relabel_demonyms
from xner_ray.projection.filters import assign_verdicts
from xner_ray.projection.ledger import Ledger
from xner_ray.storage.atomic import write_json
from xner_ray.storage.manifest import Manifest
from xner_ray.storage.manifest_table import Manifests
from xner_ray.storage.shard_store import ShardStore
from xner_ray.storage.stage_dir import StageDir
from xner_ray.text.decontamination import EvaluationSentences

LEDGER = "ledger.json"


@dataclass(frozen=True)
class Filtered:
    """All labeled pairs with their verdicts.

    Attributes:
        path: the stage's directory, with one shard for each labeled shard.
        manifests: the manifest of each shard, by its name.
        sources: the hash of the labeled shard that each shard was made from, by the name of the shard.
        ledger: the number of pairs by outcome.
    """

    path: Path
    manifests: Manifests
    sources: dict[str, str]
    ledger: Ledger

    def shards_of(self, language: str) -> list[Manifest]:
        """Return the manifests of a language's shards, in the order of their names. `open_filtered` opens a shard."""
        return list(self.manifests.select(s for s in self.manifests if s.startswith(f"{language}-")).objects())

    def sources_of(self, language: str) -> dict[str, str]:
        """Return `sources` of one language."""
        return {s: h for s, h in self.sources.items() if s.startswith(f"{language}-")}


def open_filtered(shard: Manifest, path: Path) -> pq.ParquetFile:
    """Open a shard in the directory of a `Filtered`. Raises: UserError if it is gone or damaged."""
    return ShardStore(path).open(shard)


class Filter(Stage):
    """Applies the filters of the config to labeled pairs. Result: `Filtered`."""

    name, version = "filter", 3
    needs: tuple[str, ...] = ("ingest", "label")

    def describe(self, config: Config) -> str:
        rules = config.rules
        return f"minimum scores: entities {rules.min_entity_score:g}, projections {rules.min_projection_score:g}"

    def pieces(self, ctx: Context, inputs: Inputs) -> list[Piece]:
        config, labeled = ctx.config, inputs["label"]
        parts: dict[str, Any] = {
            "label": labeled.name,
            "rules": config.rules.model_dump(),
            "lacking": lacking_types(config),
        }
        if gold := [item for item in config.evaluation if item.language in config.languages]:
            parts["held_out"] = sorted({(part["language"], part["sha256"]) for part in ctx.gold_parts(gold)})
        return [Piece("", parts, items=_sources(labeled))]

    def problem(self, ctx: Context, piece: PieceDir) -> str | None:
        ctx.forget_listing(piece.path)
        if (problem := super().problem(ctx, piece)) is not None:
            return problem
        return shards_problem(ctx, piece.path, piece)

    def run(self, ctx: Context, inputs: Inputs, todo: Sequence[PieceDir]) -> None:
        (piece,) = todo
        listing = discard_damaged_shards(ctx, self.name, piece.path, piece)
        missing = set(ShardStore(piece.path).missing(piece.piece.items, listing.manifests))
        if missing:
            _filter_shards(ctx, inputs["label"], missing, piece.path)
            listing = ctx.list_new_commits(piece.path)
        ledger = _ledger(inputs, listing.manifests.select(piece.piece.items))
        ledger.check()
        tree = {"total": ledger.to_json(), "by_language": ledger.by("language"), "cells": ledger.to_rows()}
        write_json(piece.path / LEDGER, tree)
        piece.commit(files=[piece.path / LEDGER])  # shards have manifests of their own

    def result(self, ctx: Context, inputs: Inputs, done: Mapping[str, StageDir]) -> Filtered:
        path, sources = done[""].path, _sources(inputs["label"])
        tree = json.loads((path / LEDGER).read_text(encoding="utf-8"))
        manifests = ctx.listed_store(path).manifests.select(sources)
        return Filtered(path, manifests, sources, Ledger.from_rows(tree["cells"]))


def lacking_types(config: Config) -> dict[str, list[str]]:
    """Return the types that become O after demonyms were relabeled, because the teacher of such a language keeps all types."""
    return {x: config.teacher.drop_types.get(x, []) for x in config.rules.demonym_country_type}


def _sources(labeled: Labeled) -> dict[str, str]:
    """Return the hashes of the labeled shards by the names of the filtered shards.

    The name contains the hash of the labeled shard, so a shard that was labeled again gets a new filtered shard.
    """
    return {_filtered_name(s, sha256): sha256 for s, sha256 in labeled.manifests.by_shard("sha256").items()}


def _filtered_name(shard: str, sha256: str) -> str:
    return f"{shard}-{sha256[:8]}"


def _ledger(inputs: Inputs, manifests: Manifests) -> Ledger:
    """Return the ledger: the pairs that ingest read, and their outcomes from the manifests of the filtered shards."""
    ledger = inputs["ingest"].ledger()
    for extra in manifests.extras():
        ledger.merge(Ledger.from_rows(extra["ledger"]))
    return ledger


def _filter_shards(ctx: Context, labeled: Labeled, missing: Collection[str], out: Path) -> None:
    function = partial(
        filter_shard,
        root=labeled.root,
        rules=ctx.config.rules,
        lacking=lacking_types(ctx.config),
        held_out=ctx.held_out.keys,
        out=str(out),
    )
    manifests = labeled.manifests
    columns = zip(manifests, *map(manifests.column, ("sha256", "rows")), strict=True)
    shards = [(_filtered_name(shard, sha256), shard, sha256, rows) for shard, sha256, rows in columns]
    items = sorted(item for item in shards if item[0] in missing)
    pairs = sum(rows for *_, rows in items)
    with ctx.record_work("filter", out.name, pairs=pairs), ctx.progress("filter", len(items), pairs) as progress:
        for rows, cells in ctx.executor.map(function, [(name, shard, sha256) for name, shard, sha256, _ in items]):
            progress.advance(rows)
            record_verdicts(ctx.metrics, cells)
    ctx.log(f"[filter] {progress.done_pairs:,} pairs in {len(items)} shards have a verdict")


def filter_shard(
    item: tuple[str, str, str],
    *,
    root: str,
    rules: RulesConfig,
    lacking: Mapping[str, Sequence[str]],
    held_out: Mapping[str, np.ndarray],
    out: str,
) -> tuple[int, list[dict[str, Any]]]:
    """Give each row of a labeled shard its verdict, and commit the shard with its counts.

    Args:
        item: name of the new shard, name of the labeled shard, hash of the labeled shard.
        root: folder or URL of the store of labeled shards.
        rules: the section `rules` of the config.
        lacking: the types of each language that become O.
        held_out: uint64 [sentences], the sorted keys of the evaluation sentences of each language.
        out: folder of the new shard's store.

    Returns:
        the number of rows, and the rows of the shard's ledger.
    """
    name, labeled, input_hash = item
    store = ShardStore(out)
    if (done := store.manifest(name)) is not None:  # a task whose node was lost after its commit
        return done.rows, done.extra["ledger"]
    table = relabel_demonyms(ShardStore(root).read(labeled), rules.demonym_country_type, lacking)
    table = assign_verdicts(table, rules, EvaluationSentences(held_out))
    ledger = Ledger()
    ledger.count_verdicts(table)
    cells = ledger.to_rows()
    store.commit(name, table, input_hash, {"ledger": cells})
    return table.num_rows, cells
