"""Corpora to shards, one folder a target language."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from xner_ray.corpus.ingest import ingest
from xner_ray.corpus.keys import VERSION as KEYS
from xner_ray.corpus.report import IngestReport
from xner_ray.projection.ledger import Ledger
from xner_ray.schema import DUPLICATE
from xner_ray.stages.context import Run, once


@dataclass(frozen=True)
class Descriptor:
    """A shard to label: `shard` names it in the whole run, `input_hash` is its file's sha256."""

    shard: str
    language: str
    path: str
    rows: int
    input_hash: str


def shard_folder(run: Run, language: str) -> Path:
    config = run.config
    parts = {
        "corpora": run.corpus_parts(language),
        "ingest": config.ingest.identity(),
        "language": language,
        "source_language": config.source_language,
        "seed": config.seed,
    }
    if config.ingest.pairs is None:
        parts["keys"] = KEYS  # a whole ingest is free of duplicates by key
    return run.folder(f"ingest/{language}", parts, version="ingest").path / "shards"


@once
def ingest_all(run: Run) -> dict[str, IngestReport]:
    """Ingest every language; what is done is read back from its report."""
    reports = {}
    for language in run.config.languages:
        folder = shard_folder(run, language)
        done = (folder / "ingest.json").exists()
        if done:
            report = ingest(run.config, language, folder)
        else:
            if whole := run.config.ingest.pairs is None:
                run.ray()
            with run.work("ingest", folder.parent.name) as amount:
                report = ingest(run.config, language, folder, mapper=spread if whole else map)
                amount["pairs"] = sum(c.read for c in report.corpora.values())
        reports[language] = report
        if not done:
            run.say(f"[ingest] {language}: {told(report)}")
    return reports


def told(report: IngestReport) -> str:
    """What an ingest did, in one line."""
    counts = report.corpora.values()
    lost, twice = sum(c.rejected for c in counts), sum(c.duplicates for c in counts)
    dropped = sum(c.turned_away for c in counts)
    return (
        f"{report.rows:,} pairs in {len(report.shards)} shards from {len(report.corpora)} corpora,"
        f" {lost:,} quarantined, {twice:,} duplicates" + (f", {dropped:,} dropped by rules" if dropped else "")
    )


def spread(task: Callable[[Any], Any], items: Sequence[Any]) -> Iterator[Any]:
    """`map` over the cluster: results in order, a task on each CPU and one waiting. A task that dies is run again."""
    import ray

    remote = ray.remote(num_cpus=1, max_retries=3)(_call)
    ahead = 2 * max(1, int(ray.cluster_resources().get("CPU", 1)))
    waiting: deque = deque()
    for item in items:
        waiting.append(remote.remote(task, item))
        if len(waiting) >= ahead:
            yield ray.get(waiting.popleft())
    while waiting:
        yield ray.get(waiting.popleft())


def _call(task: Callable[[Any], Any], item: Any) -> Any:
    return task(item)


def ingest_books(run: Run) -> Ledger:
    """What came in, by the ingest reports: pairs read, and those that ended there."""
    ledger = Ledger()
    for language, report in ingest_all(run).items():
        domains = {c.name: c.domain for c in run.config.corpora_of(language)}
        for corpus, count in report.corpora.items():
            ledger.read(language, corpus, domains[corpus], count.sampled)
            for reason, rows in {DUPLICATE: count.duplicates, **count.dropped}.items():
                ledger.add_dropped(language, corpus, reason, rows)
        ledger.add_quarantine(
            pq.read_table(shard_folder(run, language) / "quarantine.parquet", columns=["language", "corpus"])
        )
    return ledger


@once
def shard_descriptors(run: Run) -> list[Descriptor]:
    """All shards of the run."""
    found = []
    for language, report in ingest_all(run).items():
        folder = shard_folder(run, language)
        for shard in report.shards:
            # The hash in the name: a corpus that changed makes other shards, and those that did not stay labelled.
            name = f"{language}-{Path(shard.file).stem}-{shard.sha256[:8]}"
            found.append(Descriptor(name, language, str(folder / shard.file), shard.rows, shard.sha256))
    return found
