"""The stage `ingest`: reads corpora and writes shards, in one directory for each target language.

Without `ingest.incremental` the directory contains a sample of the pairs, or all pairs, and is made once. With it, new pairs of
the corpora are added to a collection in `out/corpus/LANGUAGE`.

Languages are processed at the same time, and so are the corpora of a language. Each language has its own directory and order of
corpora, so its shards do not depend on the others.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pyarrow.parquet as pq

from xner_ray.config import Config
from xner_ray.corpora.collection import FIRST_GENERATION, Collection, source_identity
from xner_ray.corpora.generation import Mapper
from xner_ray.corpora.ingest import ingest
from xner_ray.corpora.ingest_report import IngestReport, load_report, quarantine_files
from xner_ray.corpora.parallelism import Parallelism
from xner_ray.corpora.readers.corpus_reader import sources_of
from xner_ray.corpora.repair import damaged_files, repair
from xner_ray.errors import UserError
from xner_ray.labeling.shard_descriptor import ShardDescriptor
from xner_ray.observability.run_metrics import record_ingest
from xner_ray.observability.work_log import SharedTime
from xner_ray.pipeline.context import Context
from xner_ray.pipeline.stage import Inputs, Piece, PieceDir, Stage
from xner_ray.projection.ledger import Ledger
from xner_ray.schema import DUPLICATE
from xner_ray.storage.fingerprint import fingerprint
from xner_ray.storage.stage_dir import StageDir
from xner_ray.text.sentence_keys import PAIR_KEY_VERSION


@dataclass(frozen=True)
class Ingested:
    """The shards of a run.

    Attributes:
        reports: the report of each target language.
        folders: the folder of each target language. File names in its report are relative to it.
        incremental: the folders are collections, to which pairs are added.
        domains: the domain of each (language, corpus). The report of a collection has its own domains.
    """

    reports: dict[str, IngestReport]
    folders: dict[str, Path]
    incremental: bool
    domains: dict[tuple[str, str], str]

    def shards(self) -> list[ShardDescriptor]:
        """Return all shards. The name of a shard contains its hash, so a changed shard has another name."""
        found = []
        for language, report in self.reports.items():
            for shard in report.shards:
                name = f"{language}-{Path(shard.file).stem}-{shard.sha256[:8]}"
                path = str(self.folders[language] / shard.file)
                found.append(ShardDescriptor(name, language, path, shard.rows, shard.sha256))
        return found

    def initial_shards(self) -> list[ShardDescriptor]:
        """Return the shards that the aligner is trained on. Of a collection: its first generation."""
        return [s for s in self.shards() if not self.incremental or Path(s.path).parent.name == FIRST_GENERATION]

    def ledger(self) -> Ledger:
        """Return the pairs that were read, and those that ingest dropped or quarantined."""
        ledger = Ledger()
        for language, report in self.reports.items():
            domains = report.made_from.get("domains") or {}
            for corpus, count in report.corpora.items():
                domain = domains[corpus] if domains else self.domains[language, corpus]
                ledger.count_read(language, corpus, domain, count.sampled)
                for reason, rows in {DUPLICATE: count.duplicates, **count.dropped}.items():
                    ledger.count_dropped(language, corpus, reason, rows)
            for file in self.quarantine_files(language):
                ledger.count_quarantined(pq.read_table(file, columns=["language", "corpus"]))
        return ledger

    def quarantine_files(self, language: str) -> list[Path]:
        """Return the Parquet files of the pairs that ingest quarantined."""
        return quarantine_files(self.folders[language])


class Ingest(Stage):
    """Makes shards of sentence pairs. Result: `Ingested`."""

    name, version = "ingest", 6
    sizes_only = "shards/shard-*.parquet"
    needs: tuple[str, ...] = ("sample",)

    def describe(self, config: Config) -> str:
        pairs = f"{config.ingest.max_pairs_per_language:,}" if config.ingest.max_pairs_per_language else "all"
        return f"{pairs} pairs for each of {', '.join(config.languages)}, in shards of {config.ingest.shard_rows:,}"

    def pieces(self, ctx: Context, inputs: Inputs) -> list[Piece]:
        return [
            self._collection(ctx, x) if ctx.config.ingest.incremental else _once(ctx, x) for x in ctx.config.languages
        ]

    def _collection(self, ctx: Context, language: str) -> Piece:
        # The parts are constant, because a collection checks its settings, is never made again, and has its own commits.
        items = {s.label: fingerprint(source_identity(s)) for s in sources_of(ctx.config, language)}
        return Piece(language, {"collection": f"corpus/{language}"}, items=items)

    def problem(self, ctx: Context, piece: PieceDir) -> str | None:
        if (problem := super().problem(ctx, piece)) is not None or not ctx.config.ingest.incremental:
            return problem
        collection = Collection(collection_folder(ctx.out, piece.key))
        if damaged := damaged_files(collection):
            return f"{damaged[0]} is gone or damaged"
        return "its corpora changed" if collection.new_sources(sources_of(ctx.config, piece.key)) else None

    def run(self, ctx: Context, inputs: Inputs, todo: Sequence[PieceDir]) -> None:
        config, languages = ctx.config, [sources_of(ctx.config, piece.key) for piece in todo]
        limits = Parallelism.of(languages)
        mapper: Mapper = ctx.executor.map
        read_mapper: Mapper = partial(ctx.executor.map, max_running=limits.tasks)
        if config.ingest.max_pairs_per_language and sum(map(len, languages)) == 1:
            mapper = read_mapper = map  # the sample of one corpus takes less time than the start of Ray
        function = _extend if config.ingest.incremental else _ingest
        make = partial(function, ctx, mapper=mapper, read_mapper=read_mapper, shared=SharedTime())
        for report, lines in ctx.executor.concurrently(make, todo, limits.languages):
            if report:
                record_ingest(ctx.metrics, report.language, report.corpora.values())
            for line in lines:
                ctx.log(line)

    def result(self, ctx: Context, inputs: Inputs, done: Mapping[str, StageDir]) -> Ingested:
        incremental = ctx.config.ingest.incremental
        folders = {x: collection_folder(ctx.out, x) if incremental else d.path / "shards" for x, d in done.items()}
        reports = {x: Collection(f).merged_report() if incremental else _report(f) for x, f in folders.items()}
        for language, report in reports.items():
            if not report.rows:
                remedy = "check the files, `min_score` and the filters under `ingest.clean`"
                problem = f"no pair of `{language}` is left"
                raise UserError(problem, file=folders[language], key="corpora", remedy=remedy)
        domains = {(x, c.name): c.domain for x in ctx.config.languages for c in ctx.config.corpora_of(x)}
        return Ingested(reports, folders, incremental, domains)


def collection_folder(out: str | Path, language: str) -> Path:
    """Return the folder of an incremental run's collection. `xner corpus ingest CONFIG` adds to the same collection."""
    return Path(out).absolute() / "corpus" / language


def _once(ctx: Context, language: str) -> Piece:
    config = ctx.config
    parts = {
        "corpora": ctx.corpus_parts(language),
        "ingest": config.ingest.fingerprint(),
        "language": language,
        "source_language": config.source_language,
        "seed": config.seed,
    }
    if config.ingest.max_pairs_per_language is None:
        parts["keys"] = PAIR_KEY_VERSION  # without sampling, duplicates are found by their keys
    return Piece(language, parts)


def _report(folder: Path) -> IngestReport:
    report = load_report(folder)
    if report is None:
        raise UserError("the report of the ingest is missing", file=folder, remedy=f"delete {folder} and run again")
    return report


def _ingest(
    ctx: Context, piece: PieceDir, mapper: Mapper, read_mapper: Mapper, shared: SharedTime
) -> tuple[IngestReport, list[str]]:
    """Make and commit the shards of a language. Returns its report and lines for the log."""
    folder = piece.path / "shards"
    before = load_report(folder)
    if folder.exists() and not (before and all((folder / shard.file).exists() for shard in before.shards)):
        shutil.rmtree(folder)  # damaged; a complete folder is from a run that stopped before its marker
    with ctx.record_work("ingest", piece.path.name, shared) as amount:
        report = ingest(ctx.config, piece.key, folder, mapper=mapper, read_mapper=read_mapper)
        amount["pairs"] = sum(c.read for c in report.corpora.values())
    piece.commit()
    return report, _lines(piece.key, report, summary(report))


def _extend(
    ctx: Context, piece: PieceDir, mapper: Mapper, read_mapper: Mapper, shared: SharedTime
) -> tuple[IngestReport | None, list[str]]:
    """Add new pairs to the collection of a language. Returns the report of what is new, and lines for the log."""
    collection, sources = Collection(collection_folder(ctx.out, piece.key)), sources_of(ctx.config, piece.key)
    repaired = repair(collection, sources, mapper, read_mapper)
    lines = [f"[ingest] {piece.key}: {file} was gone or damaged; it was made again" for file in repaired]
    if not collection.new_sources(sources):
        piece.commit()
        return None, lines
    with ctx.record_work("ingest", piece.key, shared) as amount:
        added = collection.add(sources, mapper, read_mapper=read_mapper)
        amount["pairs"] = sum(c.read for c in added.corpora.values()) if added else 0
    piece.commit()
    if added:
        lines += _lines(piece.key, added, f"new are {summary(added)}")
    return added, lines


def _lines(language: str, report: IngestReport, line: str) -> list[str]:
    """What was ingested, then what was recognized in each corpus, and its warnings."""
    notes = [(corpus, note) for corpus, count in report.corpora.items() for note in count.notes]
    return [f"[ingest] {language}: {line}", *(f"[ingest] {language} {corpus}: {note}" for corpus, note in notes)]


def summary(report: IngestReport) -> str:
    """Return the counts of an ingest in one line."""
    counts = report.corpora.values()
    quarantined, duplicates = sum(c.num_quarantined for c in counts), sum(c.duplicates for c in counts)
    dropped = sum(c.num_dropped for c in counts)
    line = f"{report.rows:,} pairs in {len(report.shards)} shards from {len(report.corpora)} corpora"
    line += f", {quarantined:,} quarantined, {duplicates:,} duplicates"
    line += f", {dropped:,} dropped by quality filters" if dropped else ""
    for key, what in (("unescaped", "with decoded escapes"), ("untagged", "with removed tags")):
        number = sum(getattr(c, key) for c in counts)
        line += f", {number:,} {what}" if number else ""
    return line
