"""Corpora to shards, one folder a target language: a sample or all pairs, made once; or, with `ingest.incremental`, a collection.

A collection (`corpora/collection.py`) only adds shards, so its folder belongs to no fingerprint, and labeling, which asks for
the shards that lack a manifest, does the new ones alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from xner_ray.corpora.collection import FIRST, Collection
from xner_ray.corpora.ingest import ingest
from xner_ray.corpora.ingest_report import IngestReport, quarantine_files
from xner_ray.corpora.readers.corpus_reader import sources_of
from xner_ray.labeling.shard_descriptor import ShardDescriptor
from xner_ray.observability.run_metrics import record_ingest
from xner_ray.pipeline.context import Run, once
from xner_ray.projection.ledger import Ledger
from xner_ray.schema import DUPLICATE
from xner_ray.text.sentence_keys import PAIR_KEY_VERSION


def shard_folder(run: Run, language: str) -> Path:
    """Where a language's shards are: what their report names is relative to it."""
    config = run.config
    if config.ingest.incremental:
        return collection_folder(config.out, language)
    parts = {
        "corpora": run.corpus_parts(language),
        "ingest": config.ingest.fingerprint(),
        "language": language,
        "source_language": config.source_language,
        "seed": config.seed,
    }
    if config.ingest.max_pairs_per_language is None:
        parts["keys"] = PAIR_KEY_VERSION  # a whole ingest is free of duplicates by key
    return run.folder(f"ingest/{language}", parts, version="ingest").path / "shards"


def collection_folder(out: str | Path, language: str) -> Path:
    """The collection of a run that grows; `xner corpus ingest CONFIG` adds to the same one."""
    return Path(out).absolute() / "corpus" / language


@once
def ingest_all(run: Run) -> dict[str, IngestReport]:
    """Ingest every language; what is done is read back from its report."""
    reports = {}
    for language in run.config.languages:
        if run.config.ingest.incremental:
            reports[language] = _grown(run, language)
            continue
        folder = shard_folder(run, language)
        done = (folder / "ingest.json").exists()
        if done:
            report = ingest(run.config, language, folder)
        else:
            if whole := run.config.ingest.max_pairs_per_language is None:
                run.ray()
            with run.work("ingest", folder.parent.name) as amount:
                report = ingest(run.config, language, folder, mapper=spread if whole else map)
                amount["pairs"] = sum(c.read for c in report.corpora.values())
        reports[language] = report
        if not done:
            record_ingest(run.metrics, language, report.corpora.values())
            run.log(f"[ingest] {language}: {told(report)}")
    return reports


def _grown(run: Run, language: str) -> IngestReport:
    """Add what is new to a language's collection; the report is of all that it holds."""
    collection, sources = Collection(shard_folder(run, language)), sources_of(run.config, language)
    if collection.news(sources):
        run.ray()
        with run.work("ingest", collection.root.parent.name) as amount:
            added = collection.add(sources, spread)
            amount["pairs"] = sum(c.read for c in added.corpora.values()) if added else 0
        if added:
            run.log(f"[ingest] {language}: new are {told(added)}")
    return collection.whole()


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
    waiting: deque = deque()
    for item in items:
        waiting.append(remote.remote(task, item))
        # Asked each time: tasks that wait make an autoscaler bring nodes, and those want as many again.
        ahead = 2 * max(1, int(ray.cluster_resources().get("CPU", 1)))
        while len(waiting) >= ahead:
            yield ray.get(waiting.popleft())
    while waiting:
        yield ray.get(waiting.popleft())


def _call(task: Callable[[Any], Any], item: Any) -> Any:
    return task(item)


def ingest_books(run: Run) -> Ledger:
    """What came in, by the ingest reports: pairs read, and those that ended there."""
    ledger = Ledger()
    for language, report in ingest_all(run).items():
        domains = report.made_from.get("domains") or {c.name: c.domain for c in run.config.corpora_of(language)}
        for corpus, count in report.corpora.items():
            ledger.read(language, corpus, domains[corpus], count.sampled)
            for reason, rows in {DUPLICATE: count.duplicates, **count.dropped}.items():
                ledger.add_dropped(language, corpus, reason, rows)
        for file in quarantine_files(shard_folder(run, language)):
            ledger.add_quarantine(pq.read_table(file, columns=["language", "corpus"]))
    return ledger


@once
def shard_descriptors(run: Run) -> list[ShardDescriptor]:
    """All shards of the run."""
    found = []
    for language, report in ingest_all(run).items():
        folder = shard_folder(run, language)
        for shard in report.shards:
            # The hash in the name: a corpus that changed makes other shards, and those that did not stay labeled.
            name = f"{language}-{Path(shard.file).stem}-{shard.sha256[:8]}"
            found.append(ShardDescriptor(name, language, str(folder / shard.file), shard.rows, shard.sha256))
    return found


def founding_shards(run: Run) -> list[ShardDescriptor]:
    """Those that growth does not change, for models that must not be trained anew each time: a collection's first generation."""
    shards = shard_descriptors(run)
    return [d for d in shards if not run.config.ingest.incremental or Path(d.path).parent.name == FIRST]
