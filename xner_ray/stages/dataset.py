"""From labelled shards to training sentences: judge every row by the rules, keep the books, choose a language's sentences.

Judging reads stored scores, so a threshold moves without a GPU. It maps over shards as labelling does, with the same commit;
the books are counts in the manifests, so that they cost no second reading.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from xner_ray.config import Rules
from xner_ray.projection.ledger import Ledger
from xner_ray.projection.rules import judge
from xner_ray.projection.select import select
from xner_ray.runs.folders import StageFolder
from xner_ray.stages.context import Run, once
from xner_ray.stages.ingest import ingest_books, shard_descriptors
from xner_ray.stages.label import label
from xner_ray.store.place import LocalPlace
from xner_ray.store.shards import Manifest, ShardStore


@dataclass(frozen=True)
class Dataset:
    """`train`: the Parquet file of each language; `ledger`: the books; `summary`: what was chosen, by language."""

    train: dict[str, Path]
    ledger: Ledger
    summary: dict[str, Any]
    judged: StageFolder


@once
def dataset(run: Run) -> Dataset:
    """Judge what is labelled, check the books, and write each language's training file."""
    config, labelled = run.config, label(run)
    wanted = {d.shard for d in shard_descriptors(run)}
    # The hash in the name: a shard whose quarantined rows are tried again is another input, not a changed one.
    source = {f"{s}-{m.sha256[:8]}": m for s, m in ShardStore(labelled.root).committed().items() if s in wanted}
    parts = {"label": labelled.folder.path.name, "rules": config.rules.model_dump()}
    judged = run.folder("judged", parts, version="dataset")
    store = ShardStore(judged.path)
    todo = store.missing({name: manifest.sha256 for name, manifest in source.items()})
    if todo:
        with run.work("dataset", judged.path.name, pairs=sum(source[name].rows for name in todo)):
            _judge_all(run, labelled.root, {name: source[name] for name in todo}, judged.path)
    committed = {name: m for name, m in store.committed().items() if name in source}
    ledger = books(run, committed)
    ledger.check()
    out = run.folder(
        "dataset",
        {
            "judged": judged.path.name,
            "dataset": config.dataset.model_dump(),
            "shards": {name: m.sha256 for name, m in source.items()},
            "seed": config.seed,
        },
    )
    train, summary = {}, {}
    for language in config.languages:
        files = [judged.path / m.file for shard, m in sorted(committed.items()) if shard.startswith(f"{language}-")]
        train[language] = out.path / language / "train.parquet"
        told = train[language].with_name("summary.json")
        if not told.exists():
            train[language].parent.mkdir(parents=True, exist_ok=True)
            chosen = select(files, train[language], config.dataset, config.seed)
            for note in chosen.get("notes", []):
                run.say(f"[dataset] {language}: {note}")
            _write_json(told, chosen)
        summary[language] = json.loads(told.read_text())
        counts = summary[language]
        run.say(
            f"[dataset] {language}: {counts['sentences']:,} sentences, {counts['entities']:,} entities,"
            f" {counts['without_entity']:,} sentences without any"
        )
    _write_json(
        out.path / "ledger.json",
        {"total": ledger.to_json(), "by_language": ledger.by("language"), "cells": ledger.to_rows()},
    )
    return Dataset(train, ledger, summary, judged)


def books(run: Run, committed: dict[str, Manifest]) -> Ledger:
    """What came in, by the ingest reports, against what the judged shards' manifests say came out."""
    ledger = ingest_books(run)
    for manifest in committed.values():
        ledger.merge(Ledger.from_rows(manifest.extra["ledger"]))
    return ledger


def _judge_all(run: Run, labelled: str, shards: dict[str, Manifest], out: Path) -> None:
    import ray

    run.ray()
    items = [{"shard": name, "labelled": m.shard, "input_hash": m.sha256} for name, m in sorted(shards.items())]
    graph = ray.data.from_items(items, override_num_blocks=min(len(items), 64)).map_batches(
        judge_shard,  # type: ignore[arg-type]  # Ray's stub does not know fn_kwargs
        fn_kwargs={"root": labelled, "rules": run.config.rules.model_dump(), "out": str(out)},
        batch_size=1,
        batch_format="pyarrow",
        num_cpus=0.5,
    )
    rows = sum(row["rows"] for row in graph.iter_rows())
    run.say(f"[dataset] {rows:,} pairs judged in {len(items)} shards")


def judge_shard(batch: pa.Table, root: str, rules: dict[str, Any], out: str) -> pa.Table:
    """Judge one labelled shard and commit it with its counts."""
    row = batch.to_pylist()[0]
    table = judge(ShardStore(root).read(row["labelled"]), Rules(**rules))
    ledger = Ledger()
    ledger.add(table)
    ShardStore(out).commit(row["shard"], table, row["input_hash"], {"ledger": ledger.to_rows()})
    return pa.table({"shard": [row["shard"]], "rows": [table.num_rows]})


def _write_json(path: Path, value: Any) -> None:
    LocalPlace(path.parent).put(path.name, (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode(), "json")
