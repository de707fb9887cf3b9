"""A collection of one language pair that only grows. `xner corpus ingest` adds generations to it.

    root/collection.json            the language pair and the settings that all generations share
    root/generation-000001/         appears complete, by a rename; nothing in it ever changes
      generation.json                 the newest version of each corpus as of this generation
      ingest.json, shard-*.parquet    counts, and the pairs that no earlier generation and no earlier corpus contains
      scores-*.parquet                scores of every readable pair, and the filter that dropped it
      index-*, member-*, dead-*.npy   keys, see dedup_index.py
    root/staging/                   corpora that are read but not yet part of a generation

The rename of a generation's folder is the commit. A process that is killed at any moment leaves the state before or
after it, and of two writers one succeeds. A restart skips corpora that are staged.

Pairs of earlier generations take precedence; within a generation, the order is by name of the corpus and then by line.
A corpus is new if its files or its settings changed. Its newest version then replaces the one before, and adds only
pairs that the collection lacks. Pairs that no corpus contains any more get a tombstone. Their shards do not change, and
readers leave these pairs out, so the text of such pairs stays on disk. A collection needs a file system that all
workers share.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from xner_ray.corpora.dedup_index import CorpusKeys, load_tombstones
from xner_ray.corpora.generation import CollectionState, Generation, Mapper, build_generation
from xner_ray.corpora.ingest_report import FILE as REPORT
from xner_ray.corpora.ingest_report import IngestReport, load_report
from xner_ray.corpora.readers.archive import file_identity
from xner_ray.corpora.readers.corpus_reader import Progress, Source
from xner_ray.corpora.readers.tsv_layout import side_order
from xner_ray.errors import UserError
from xner_ray.storage.atomic import TEMP, new_dir, write_bytes
from xner_ray.storage.failpoints import failpoint
from xner_ray.storage.fingerprint import describe_change, fingerprint
from xner_ray.storage.verify import dump_checked, gone, load_checked
from xner_ray.text.sentence_keys import PAIR_KEY_VERSION

_NAME = re.compile(r"generation-(\d{6})")
FIRST_GENERATION = "generation-000001"


@dataclass(frozen=True)
class CorpusVersion:
    """The newest version of a corpus in a collection.

    Attributes:
        label: `corpus` in its rows.
        identity: its files and settings.
        generation: number of the generation that added it.
        ordinal: its number in this generation.
    """

    label: str
    identity: dict[str, Any]
    generation: int
    ordinal: int


class Collection:
    """The generations in one folder."""

    def __init__(self, root: str | Path):
        self.root = Path(root)

    def generations(self) -> list[Path]:
        """Folders of the finished generations, oldest first. Raises: UserError if one before the last is not whole."""
        names = [p for p in self.root.glob("generation-*") if _NAME.fullmatch(p.name)]
        folders = sorted(p for p in names if (p / "generation.json").exists())
        for number, folder in enumerate(folders, 1):
            if folder.name != f"generation-{number:06d}":
                file = self.root / f"generation-{number:06d}" / "generation.json"
                raise UserError("is gone", file=file, remedy=self._restore())
        return folders

    def _restore(self) -> str:
        return f"put it back from a backup, or delete {self.root}: all corpora are then ingested again"

    def versions(self) -> dict[str, CorpusVersion]:
        """The newest version of each corpus, by name."""
        return _versions(self.tree())

    def reports(self) -> list[IngestReport]:
        """The report of each generation; shard files are relative to the root."""
        reports = []
        for folder in self.generations():
            report = load_report(folder)
            if report is None:
                raise gone(folder / REPORT, None)
            shards = [replace(s, file=f"{folder.name}/{s.file}") for s in report.shards]
            reports.append(replace(report, shards=shards))
        return reports

    def merged_report(self) -> IngestReport:
        """All generations as one report. Labels are unique, so the counts of all generations stand side by side.

        Returns:
            A report whose `made_from` holds the number of generations and the domain of each corpus.

        Raises:
            UserError: there is no generation.
        """
        reports = self.reports()
        if not reports:
            raise UserError("holds no pairs yet", file=self.root, remedy="see that its corpora hold some")
        counts = {label: count for report in reports for label, count in report.corpora.items()}
        domains = {k: v for report in reports for k, v in report.made_from["domains"].items()}
        shards = [shard for report in reports for shard in report.shards]
        return IngestReport(reports[0].language, 0, counts, shards, {"generation": len(reports), "domains": domains})

    def tombstones(self) -> np.ndarray:
        """Keys (uint64 [n], sorted) of pairs in shards that no corpus contains any more."""
        folders = self.generations()
        return load_tombstones(folders[-1]) if folders else np.zeros(0, np.uint64)

    def new_sources(self, sources: Sequence[Source]) -> list[Source]:
        """The sources that `add` would read. Nothing is written."""
        return [source for source, _ in self._new_sources(sources, self.tree())]

    def add(
        self,
        sources: Sequence[Source],
        mapper: Mapper = map,
        progress: Progress | None = None,
        read_mapper: Mapper | None = None,
    ) -> IngestReport | None:
        """Ingest new corpora and new versions as one generation.

        Args:
            sources: all corpora of the language pair; the settings of the first are those of the collection.
            mapper: runs the tasks, see `build_generation`.
            progress: see `CorpusReader`.
            read_mapper: see `build_generation`.

        Returns:
            The report of the generation; None where no source is new.

        Raises:
            UserError: a corpus cannot be read, the collection has other settings, or another process finished first.
        """
        self._check_settings(sources)
        folders, tree = self.generations(), self.tree()
        versions = _versions(tree)
        for version in versions.values():  # a process that was killed after its commit leaves staging folders
            shutil.rmtree(self.staging(version.label, version.identity), ignore_errors=True)
        new = self._new_sources(sources, tree)
        if not new:
            return None
        number = len(folders) + 1
        out = self.root / f"generation-{number:06d}"
        staging = {source.label: self.staging(source.label, identity) for source, identity in new}
        state = self.state(number, {source.corpus.name for source, _ in new})
        with new_dir(out) as folder:
            added = [source for source, _ in new]
            generation = build_generation(folder, staging, added, state, mapper, progress, read_mapper)
            for ordinal, (source, identity) in enumerate(new):
                versions[source.corpus.name] = CorpusVersion(source.label, identity, number, ordinal)
            tree = {
                "corpora": {name: asdict(version) for name, version in sorted(versions.items())},
                "labels": sorted({*tree["labels"], *staging}),
                "shards": state.shards + len(generation.shards),
                "tombstones": generation.tombstones,
            }
            report = make_report(number, added, generation)
            report.save(folder)
            (folder / "generation.json").write_text(dump_checked(tree), "utf-8")
            failpoint("ingest.written")
        failpoint("ingest.named")
        for path in staging.values():
            shutil.rmtree(path)
        return report

    def state(self, number: int, replaced: set[str]) -> CollectionState:
        """The collection before generation `number`, which replaces the versions of some corpora."""
        folders = self.generations()[: number - 1]
        tree = self.tree(number - 1)
        keys = {name: CorpusKeys(folders[v.generation - 1], v.ordinal) for name, v in _versions(tree).items()}
        stay = tuple(x for name, x in keys.items() if name not in replaced)
        go = tuple(x for name, x in keys.items() if name in replaced)
        return CollectionState(tuple(folders), stay, go, tree["shards"])

    def tree(self, number: int | None = None) -> dict[str, Any]:
        """generation.json of a generation; default: of the newest one. Raises: UserError if it is damaged."""
        folders = self.generations()[:number]
        if not folders:
            return {"corpora": {}, "labels": [], "shards": 0, "tombstones": 0}
        file = folders[-1] / "generation.json"
        try:
            tree = load_checked(file.read_bytes())
            _versions(tree)
            return {key: tree[key] for key in ("corpora", "labels", "shards", "tombstones")}
        except (ValueError, KeyError, TypeError, AttributeError) as e:
            raise UserError(f"is damaged: {e}", file=file, remedy=self._restore()) from e

    def _new_sources(self, sources: Sequence[Source], tree: dict[str, Any]) -> list[tuple[Source, dict[str, Any]]]:
        """New sources with a free label, and their identities, in the order of precedence."""
        new = []
        # Also by the sources before: a corpus may be named like the second version of another.
        taken = set(tree["labels"])
        for source in sorted(sources, key=lambda s: s.corpus.name):
            identity = source_identity(source)
            if tree["corpora"].get(source.corpus.name, {}).get("identity") != identity:
                label = _free_label(source.label, taken)
                taken.add(label)
                new.append((replace(source, label=label), identity))
        return new

    def staging(self, label: str, identity: dict[str, Any]) -> Path:
        """The folder in which a version of a corpus is staged."""
        readable = re.sub(r"\W+", "-", label)
        return self.root / "staging" / f"{readable}-{fingerprint({'label': label, **identity})}"

    def _check_settings(self, sources: Sequence[Source]) -> None:
        """All generations share languages, shard size and key version. The first call sets them."""
        source = sources[0]
        names = [s.corpus.name for s in sources]
        if len(set(names)) < len(names):
            raise UserError("two corpora have the same name", key="corpora", remedy="give each corpus its own name")
        given = {
            "languages": list(source.languages),
            "shard_rows": source.ingest.shard_rows,
            "keys": PAIR_KEY_VERSION,
        }
        file = self.root / "collection.json"
        # A process that was killed here may have left a temporary file. A deleted file is written again.
        foreign = [p for p in self.root.glob("*") if not TEMP.fullmatch(p.name)]
        if foreign and not file.exists() and not self.generations():
            raise UserError("holds files but is not a collection", file=self.root, remedy="choose another folder")
        if not file.exists() and any(report.language != source.languages[1] for report in self.reports()):
            raise UserError("holds pairs of another language", file=self.root, remedy="choose another folder")
        write_bytes(file, (json.dumps(given) + "\n").encode(), if_absent=True)
        try:
            stored = dict(json.loads(file.read_bytes()))
        except (ValueError, TypeError) as e:
            remedy = "delete this file, and run again: it is written with the settings of the config"
            raise UserError(f"is damaged: {e}", file=file, remedy=remedy) from e
        for change in describe_change(stored, given):
            remedy = "choose another folder, or use the settings of the collection"
            raise UserError(f"was made with other settings: {change}", file=self.root, remedy=remedy)


def make_report(number: int, sources: Sequence[Source], generation: Generation) -> IngestReport:
    """The report of a new generation."""
    made_from = {"generation": number, "domains": {source.label: source.corpus.domain for source in sources}}
    return IngestReport(sources[0].languages[1], 0, generation.counts, generation.shards, made_from)


def _versions(tree: dict[str, Any]) -> dict[str, CorpusVersion]:
    return {name: CorpusVersion(**value) for name, value in tree["corpora"].items()}


def source_identity(source: Source) -> dict[str, Any]:
    """The files and settings that determine a corpus's rows."""
    files = [file_identity(path) for path in (source.path, source.target_path) if path]
    ingest = source.ingest.fingerprint()
    sides = side_order(source.corpus, source.path, source.languages)
    return {
        "files": files,
        "format": source.corpus.format,
        "domain": source.corpus.domain,
        "min_score": source.corpus.min_score,
        "rules": {"max_chars": ingest["max_chars"], "clean": ingest.get("clean")},
        **({"sides": sides} if sides else {}),
    }


def _free_label(label: str, taken: set[str]) -> str:
    """The label, with a number if an older version has it: pair ids are unique within a label."""
    n = 2
    free = label
    while free in taken:
        free, n = f"{label}/{n}", n + 1
    return free
