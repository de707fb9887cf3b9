"""From labeled shards to training sentences: judge every row by the rules, keep the books, choose a language's sentences.

Judging reads stored scores, so a threshold moves without a GPU. It maps over shards as labeling does, with the same commit;
the books are counts in the manifests, so that they cost no second reading.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from xner_ray.config import RulesConfig
from xner_ray.corpora.collection import Collection
from xner_ray.evaluation.decontamination import HeldOut
from xner_ray.observability.run_metrics import record_verdicts
from xner_ray.pipeline.context import Run, once
from xner_ray.pipeline.stages.ingest import ingest_books, shard_descriptors, shard_folder
from xner_ray.pipeline.stages.label import label
from xner_ray.projection.demonyms import to_countries
from xner_ray.projection.exclusions import Without
from xner_ray.projection.filters import judge
from xner_ray.projection.ledger import Ledger
from xner_ray.projection.sentence_sampling import select
from xner_ray.storage.atomic import write_json
from xner_ray.storage.shard_store import Manifest, ShardStore
from xner_ray.storage.stage_dir import StageDir
from xner_ray.text.sentence_keys import target_keys


@dataclass(frozen=True)
class Dataset:
    """`train`: the Parquet file of each language; `ledger`: the books; `summary`: what was chosen, by language."""

    train: dict[str, Path]
    ledger: Ledger
    summary: dict[str, Any]
    judged: StageDir


@dataclass(frozen=True)
class Judged:
    """All labeled pairs with their verdicts. `source`: the labeled shard behind each judged one, by its name."""

    folder: StageDir
    source: dict[str, Manifest]
    committed: dict[str, Manifest]
    ledger: Ledger

    def files(self, language: str) -> list[Path]:
        """The judged shards of a language."""
        return [self.folder.path / m.file for s, m in sorted(self.committed.items()) if s.startswith(f"{language}-")]


@once
def dataset(run: Run) -> Dataset:
    """Judge what is labeled, check the books, and write each language's training file."""
    return dataset_of(run, run.config.languages)


@once
def judged(run: Run) -> Judged:
    """Judge every labeled pair that was not, and check the books."""
    config, labeled = run.config, label(run)
    wanted = {d.shard for d in shard_descriptors(run)}
    # The hash in the name: a shard whose quarantined rows are tried again is another input, not a changed one.
    source = {f"{s}-{m.sha256[:8]}": m for s, m in ShardStore(labeled.root).committed().items() if s in wanted}
    lacking = {x: config.teacher.drop_types.get(x, []) for x in config.rules.demonym_country_type}
    parts: dict[str, Any] = {
        "label": labeled.folder.path.name,
        "rules": config.rules.model_dump(),
        "lacking": lacking,
    }
    if gold := [item for item in config.evaluation if item.language in config.languages]:
        parts["held_out"] = sorted({(part["language"], part["sha256"]) for part in run.gold_parts(gold)})
    folder = run.folder("judged", parts, version="dataset")
    store = ShardStore(folder.path)
    todo = store.missing({name: manifest.sha256 for name, manifest in source.items()})
    if todo:
        with run.work("dataset", folder.path.name, pairs=sum(source[name].rows for name in todo)):
            _judge_all(run, labeled.root, {name: source[name] for name in todo}, lacking, folder.path)
    committed = {name: m for name, m in store.committed().items() if name in source}
    ledger = books(run, committed)
    ledger.check()
    return Judged(folder, source, committed, ledger)


def dataset_of(run: Run, languages: Sequence[str]) -> Dataset:
    """The training files of some languages."""
    config, found = run.config, judged(run)
    without = {language: left_out(run, language) for language in config.languages}
    parts = {
        "judged": found.folder.path.name,
        "dataset": config.dataset.model_dump(),
        "shards": {name: m.sha256 for name, m in found.source.items()},
        "seed": config.seed,
    }
    if any(without.values()):
        parts["without"] = {language: some.identity() for language, some in without.items()}
    out = run.folder("dataset", parts)
    train, summary = {}, {}
    for language in languages:
        train[language] = out.path / language / "train.parquet"
        told = train[language].with_name("summary.json")
        if not told.exists():
            train[language].parent.mkdir(parents=True, exist_ok=True)
            chosen = select(
                found.files(language),
                train[language],
                config.dataset.for_language(language),
                config.seed,
                without[language],
            )
            for note in chosen.get("notes", []):
                run.log(f"[dataset] {language}: {note}")
            write_json(told, chosen)
        summary[language] = json.loads(told.read_text())
        counts = summary[language]
        run.log(
            f"[dataset] {language}: {counts['sentences']:,} sentences, {counts['entities']:,} entities,"
            f" {counts['without_entity']:,} sentences without any"
        )
    ledger = found.ledger
    write_json(
        out.path / "ledger.json",
        {"total": ledger.to_json(), "by_language": ledger.by("language"), "cells": ledger.to_rows()},
    )
    return Dataset(train, ledger, summary, found.folder)


def silver_file(run: Run, language: str) -> Path:
    """Sentences with projected tags that only measure (`xner_ray/workflows/refresh/silver.py`), and that nobody trains on."""
    return run.out / "silver" / f"{language}.parquet"


def left_out(run: Run, language: str) -> Without:
    """What a language's training file must not hold."""
    file, withdrawn = silver_file(run, language), np.zeros(0, np.uint64)
    if run.config.ingest.incremental:
        withdrawn = Collection(shard_folder(run, language)).tombstones()
    if not file.exists():
        return Without(withdrawn)
    return Without(withdrawn, target_keys(pq.read_table(file, columns=["target"]).column("target")))


def books(run: Run, committed: dict[str, Manifest]) -> Ledger:
    """What came in, by the ingest reports, against what the judged shards' manifests say came out."""
    ledger = ingest_books(run)
    for manifest in committed.values():
        ledger.merge(Ledger.from_rows(manifest.extra["ledger"]))
    return ledger


def _judge_all(run: Run, labeled: str, shards: dict[str, Manifest], lacking: dict[str, list[str]], out: Path) -> None:
    import ray

    run.ray()
    items = [{"shard": name, "labeled": m.shard, "input_hash": m.sha256} for name, m in sorted(shards.items())]
    graph = ray.data.from_items(items, override_num_blocks=min(len(items), 64)).map_batches(
        judge_shard,  # type: ignore[arg-type]  # Ray's stub does not know fn_kwargs
        fn_kwargs={
            "root": labeled,
            "rules": run.config.rules.model_dump(),
            "lacking": lacking,
            "held_out": run.held_out.keys,
            "out": str(out),
        },
        batch_size=1,
        batch_format="pyarrow",
        num_cpus=1,  # a share would start more processes than there are cores, at three seconds of CPU each
    )
    with run.progress("dataset", len(items), sum(m.rows for m in shards.values())) as progress:
        for row in graph.iter_rows():
            progress.advance(row["rows"])
            record_verdicts(run.metrics, json.loads(row["ledger"]))
    run.log(f"[dataset] {progress.done_pairs:,} pairs judged in {len(items)} shards")


def judge_shard(
    batch: pa.Table,
    root: str,
    rules: dict[str, Any],
    lacking: dict[str, list[str]],
    held_out: dict[str, np.ndarray],
    out: str,
) -> pa.Table:
    """Judge one labeled shard and commit it with its counts; `held_out` are the keys of `HeldOut`."""
    row, asked = batch.to_pylist()[0], RulesConfig(**rules)
    labeled = to_countries(ShardStore(root).read(row["labeled"]), asked.demonym_country_type, lacking)
    table = judge(labeled, asked, HeldOut(held_out))
    ledger = Ledger()
    ledger.add(table)
    cells = ledger.to_rows()
    ShardStore(out).commit(row["shard"], table, row["input_hash"], {"ledger": cells})
    return pa.table({"shard": [row["shard"]], "rows": [table.num_rows], "ledger": [json.dumps(cells)]})
