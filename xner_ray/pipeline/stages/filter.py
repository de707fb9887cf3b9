"""The stage `filter`: gives every labeled pair a verdict, and checks that the ledger of the run adds up.

Filters read stored scores, so a threshold can change without a GPU. Each labeled shard becomes one filtered shard, with the same
commits as in labeling. The counts of the ledger are in the manifests, so the shards are not read a second time.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from xner_ray.config import Config, RulesConfig
from xner_ray.observability.run_metrics import record_verdicts
from xner_ray.pipeline.context import Context, NotAvailableOffline
from xner_ray.pipeline.stage import Inputs, Piece, PieceDir, Stage
from xner_ray.pipeline.stages.label import Labeled, discard_damaged_shards, shards_problem
from xner_ray.projection.demonyms import relabel_demonyms
from xner_ray.projection.filters import assign_verdicts
from xner_ray.projection.ledger import Ledger
from xner_ray.storage.atomic import write_json
from xner_ray.storage.shard_store import Manifest, ShardStore
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
    manifests: dict[str, Manifest]
    sources: dict[str, str]
    ledger: Ledger

    def shards_of(self, language: str) -> list[Manifest]:
        """Return the manifests of a language's shards, in the order of their names. `open_filtered` opens a shard."""
        return [self.manifests[name] for name in sorted(self.manifests) if name.startswith(f"{language}-")]

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
        return [Piece("", parts, items={name: m.sha256 for name, m in _sources(ctx, labeled).items()})]

    def problem(self, ctx: Context, piece: PieceDir) -> str | None:
        if (problem := super().problem(ctx, piece)) is not None:
            return problem
        return shards_problem(ShardStore(piece.path), piece)

    def run(self, ctx: Context, inputs: Inputs, todo: Sequence[PieceDir]) -> None:
        (piece,) = todo
        store, sources = ShardStore(piece.path), _sources(ctx, inputs["label"])
        discard_damaged_shards(ctx, self.name, store, piece)
        missing = store.missing(piece.piece.items)
        if missing:
            with ctx.record_work("filter", piece.path.name, pairs=sum(sources[name].rows for name in missing)):
                _filter_shards(ctx, inputs["label"].root, {name: sources[name] for name in missing}, piece.path)
        ledger = _ledger(inputs, store, sources)
        ledger.check()
        tree = {"total": ledger.to_json(), "by_language": ledger.by("language"), "cells": ledger.to_rows()}
        write_json(piece.path / LEDGER, tree)
        piece.commit(files=[piece.path / LEDGER])  # shards have manifests of their own

    def result(self, ctx: Context, inputs: Inputs, done: Mapping[str, StageDir]) -> Filtered:
        path, sources = done[""].path, _sources(ctx, inputs["label"])
        manifests = {name: m for name, m in ShardStore(path).committed().items() if name in sources}
        tree = json.loads((path / LEDGER).read_text(encoding="utf-8"))
        hashes = {name: m.sha256 for name, m in sources.items()}
        return Filtered(path, manifests, hashes, Ledger.from_rows(tree["cells"]))


def lacking_types(config: Config) -> dict[str, list[str]]:
    """Return the types that become O after demonyms were relabeled, because the teacher of such a language keeps all types."""
    return {x: config.teacher.drop_types.get(x, []) for x in config.rules.demonym_country_type}


def _sources(ctx: Context, labeled: Labeled) -> dict[str, Manifest]:
    """Return the labeled shards by the names of the filtered shards.

    The name contains the hash of the labeled shard, so a shard that was labeled again gets a new filtered shard.
    """
    if ctx.offline and "://" in labeled.root:
        raise NotAvailableOffline(f"the labeled shards are in {labeled.root}, which plan does not open")
    committed = ShardStore(labeled.root).committed()
    return {f"{s}-{m.sha256[:8]}": m for s, m in committed.items() if s in labeled.shards}


def _ledger(inputs: Inputs, store: ShardStore, sources: Mapping[str, Manifest]) -> Ledger:
    """Return the ledger: the pairs that ingest read, and their outcomes from the manifests of the filtered shards."""
    ledger = inputs["ingest"].ledger()
    for name, manifest in store.committed().items():
        if name in sources:
            ledger.merge(Ledger.from_rows(manifest.extra["ledger"]))
    return ledger


def _filter_shards(ctx: Context, root: str, sources: Mapping[str, Manifest], out: Path) -> None:
    function = partial(
        filter_shard,
        root=root,
        rules=ctx.config.rules,
        lacking=lacking_types(ctx.config),
        held_out=ctx.held_out.keys,
        out=str(out),
    )
    items = [(name, m.shard, m.sha256) for name, m in sorted(sources.items())]
    with ctx.progress("filter", len(items), sum(m.rows for m in sources.values())) as progress:
        for rows, cells in ctx.executor.map(function, items):
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
