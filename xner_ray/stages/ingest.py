"""Corpora to shards, one folder a target language."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from xner_ray.corpus.ingest import ingest
from xner_ray.corpus.report import IngestReport
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
        if done:
            report = ingest(run.config, language, folder)
        else:
            with run.work("ingest", folder.parent.name) as amount:
                report = ingest(run.config, language, folder)
                amount["pairs"] = sum(c.read for c in report.corpora.values())
        reports[language] = report
        lost = sum(c.rejected for c in report.corpora.values())
        twice = sum(c.duplicates for c in report.corpora.values())
        if not done:
            run.say(
                f"[ingest] {language}: {report.rows:,} pairs in {len(report.shards)} shards from"
                f" {len(report.corpora)} corpora, {lost} quarantined, {twice} duplicates"
            )
    return reports


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
