"""Corpora to shards, one folder a target language."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from xner_ray.corpus.ingest import ingest
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
        "ingest": config.ingest.model_dump(),
        "language": language,
        "source_language": config.source_language,
        "seed": config.seed,
    }
    return run.folder(f"ingest/{language}", parts, version="ingest").path / "shards"


@once
def ingest_all(run: Run) -> dict[str, IngestReport]:
    """Ingest every language; what is done is read back from its report."""
    reports = {}
    for language in run.config.languages:
        folder = shard_folder(run, language)
        done = (folder / "ingest.json").exists()
        report = reports[language] = ingest(run.config, language, folder)
        lost = sum(c.rejected for c in report.corpora.values())
        twice = sum(c.duplicates for c in report.corpora.values())
        if not done:
            run.say(
                f"[ingest] {language}: {report.rows:,} pairs in {len(report.shards)} shards from"
                f" {len(report.corpora)} corpora, {lost} quarantined, {twice} duplicates"
            )
    return reports


def ingest_books(run: Run) -> Ledger:
    """What came in, by the ingest reports: pairs read, and those that ended there."""
    ledger = Ledger()
    for language, report in ingest_all(run).items():
        domains = {c.name: c.domain for c in run.config.corpora_of(language)}
        for corpus, count in report.corpora.items():
            ledger.read(language, corpus, domains[corpus], count.sampled)
            ledger.add_dropped(language, corpus, DUPLICATE, count.duplicates)
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
