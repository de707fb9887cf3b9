"""From labelled shards to training sentences: judge every row by the rules, keep the books, choose a language's sentences.

Judging reads stored scores, so a threshold moves without a GPU. It maps over shards as labelling does, with the same commit;
the books are counts in the manifests, so that they cost no second reading.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from xner_ray.config import Rules
from xner_ray.projection.ledger import Ledger
from xner_ray.projection.rules import judge
from xner_ray.projection.select import select
from xner_ray.schema import DUPLICATE
from xner_ray.stages.context import Run, once
from xner_ray.stages.ingest import ingest_all, shard_descriptors, shard_folder
from xner_ray.stages.label import label
from xner_ray.store.folders import StageFolder
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
    source = ShardStore(labelled.path)
    wanted = {d.shard: d.input_hash for d in shard_descriptors(run)}
    shards = {shard: manifest for shard, manifest in source.committed().items() if shard in wanted}
    judged = run.folder("judged", {"label": labelled.path.name, "rules": config.rules.model_dump()}, version="dataset")
    store = ShardStore(judged.path)
    todo = store.missing({shard: manifest.sha256 for shard, manifest in shards.items()})
    if todo:
        with run.work("dataset", judged.path.name, pairs=sum(shards[shard].rows for shard in todo)):
            _judge_all(run, labelled.path, {shard: shards[shard] for shard in todo}, judged.path)
    committed = {shard: m for shard, m in store.committed().items() if shard in wanted}
    ledger = books(run, committed)
    ledger.check()
    out = run.folder(
        "dataset",
        {"judged": judged.path.name, "dataset": config.dataset.model_dump(), "shards": wanted, "seed": config.seed},
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
    ledger = Ledger()
    for language, report in ingest_all(run).items():
        domains = {c.name: c.domain for c in run.config.corpora_of(language)}
        for corpus, count in report.corpora.items():
            ledger.read(language, corpus, domains[corpus], count.sampled)
            ledger.add_dropped(language, corpus, DUPLICATE, count.duplicates)
        ledger.add_quarantine(
            pq.read_table(shard_folder(run, language) / "quarantine.parquet", columns=["language", "corpus"])
        )
    for manifest in committed.values():
        ledger.merge(Ledger.from_rows(manifest.extra["ledger"]))
    return ledger


def _judge_all(run: Run, labelled: Path, shards: dict[str, Manifest], out: Path) -> None:
    import ray

    run.ray()
    items = [
        {"shard": shard, "path": str(labelled / m.file), "input_hash": m.sha256} for shard, m in sorted(shards.items())
    ]
    graph = ray.data.from_items(items, override_num_blocks=min(len(items), 64)).map_batches(
        judge_shard,  # type: ignore[arg-type]  # Ray's stub does not know fn_kwargs
        fn_kwargs={"rules": run.config.rules.model_dump(), "out": str(out)},
        batch_size=1,
        batch_format="pyarrow",
        num_cpus=0.5,
    )
    rows = sum(row["rows"] for row in graph.iter_rows())
    run.say(f"[dataset] {rows:,} pairs judged in {len(items)} shards")


def judge_shard(batch: pa.Table, rules: dict[str, Any], out: str) -> pa.Table:
    """Judge one labelled shard and commit it with its counts."""
    row = batch.to_pylist()[0]
    table = judge(pq.read_table(row["path"]), Rules(**rules))
    ledger = Ledger()
    ledger.add(table)
    ShardStore(out).commit(row["shard"], table, row["input_hash"], {"ledger": ledger.to_rows()})
    return pa.table({"shard": [row["shard"]], "rows": [table.num_rows]})


def _write_json(path: Path, value: Any) -> None:
    new = path.with_name(path.name + ".new")
    new.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(new, path)
