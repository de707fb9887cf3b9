"""A collection of one language pair that only grows: what `xner corpus ingest` adds to, generation by generation.

    root/collection.json            the pair and the settings that all generations share
    root/generation-000001/         appears at once, whole; nothing in it is ever changed
      generation.json                 what the collection holds from here on: the newest version of each corpus
      ingest.json, shard-*.parquet    counts, and the pairs that no earlier generation and no earlier corpus has
      scores-*.parquet                scores of every readable pair, by rule, and which rule dropped it
      index-*, member-*, dead-*.npy   keys, see index.py
    root/staging/                   corpora that are read but not yet part of a generation

The commit is the rename that gives a generation's folder its name: a process killed at any moment leaves the old
state or the new one, and of two writers one wins. A restart skips corpora that are staged already. What was ingested
earlier wins; within a generation corpora win by name and then by line. A corpus is new where its files or what is
asked of it changed: its newest version replaces the one before, costs only pairs that the collection lacks, and pairs
that no corpus has any more are tombstoned; shards that hold them stay as they are, and readers leave them out.

The price of files that never change: the text of tombstoned pairs stays on the disk. A collection needs a file system
that all workers share.
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
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from xner_ray.corpora.dedup_index import CorpusKeys, dead_keys
from xner_ray.corpora.generation import CollectionState, Mapper, build_generation
from xner_ray.corpora.ingest_report import IngestReport, load_report
from xner_ray.corpora.readers.archive import file_identity
from xner_ray.corpora.readers.corpus_reader import Progress, Source
from xner_ray.errors import UserError
from xner_ray.storage.atomic import TEMP, new_dir, write_bytes
from xner_ray.storage.failpoints import failpoint
from xner_ray.storage.fingerprint import describe_change, fingerprint
from xner_ray.text.sentence_keys import PAIR_KEY_VERSION, pair_keys

_NAME = re.compile(r"generation-(\d{6})")
FIRST = "generation-000001"


@dataclass(frozen=True)
class CorpusVersion:
    """The newest version of a corpus. label: `corpus` in its rows. identity: of what it was read from."""

    label: str
    identity: dict[str, Any]
    generation: int
    ordinal: int


class Collection:
    """The generations under one folder."""

    def __init__(self, root: str | Path):
        self.root = Path(root)

    def generations(self) -> list[Path]:
        """Folders of the finished generations, oldest first."""
        names = [p for p in self.root.glob("generation-*") if _NAME.fullmatch(p.name)]
        return sorted(p for p in names if (p / "generation.json").exists())

    def held(self) -> dict[str, CorpusVersion]:
        """By name, the newest version of each corpus."""
        state = self._state()
        return {name: CorpusVersion(**value) for name, value in state["corpora"].items()}

    def reports(self) -> list[IngestReport]:
        """What each generation counted; shard files are relative to the root."""
        found = []
        for folder in self.generations():
            report = load_report(folder)
            assert report is not None
            shards = [replace(s, file=f"{folder.name}/{s.file}") for s in report.shards]
            found.append(replace(report, shards=shards))
        return found

    def whole(self) -> IngestReport:
        """All generations as one: labels are unique, so their counts lie side by side; `made_from` has the domain of each.

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
        """Keys (uint64, sorted) of pairs in shards that no corpus has any more."""
        folders = self.generations()
        return dead_keys(folders[-1]) if folders else np.zeros(0, np.uint64)

    def read(self, file: str) -> pa.Table:
        """The living pairs of a shard, named as in `reports`."""
        table, dead = pq.read_table(self.root / file), self.tombstones()
        if not len(dead):
            return table
        return table.filter(pa.array(~np.isin(pair_keys(table["source"], table["target"]), dead)))

    def news(self, sources: Sequence[Source]) -> list[Source]:
        """The sources that `add` would read; nothing is written."""
        return [source for source, _ in self._new(sources, self._state())]

    def add(
        self, sources: Sequence[Source], mapper: Mapper = map, progress: Progress | None = None
    ) -> IngestReport | None:
        """Ingest what is new of these corpora as one generation; None where nothing is.

        Raises:
            UserError: a corpus cannot be read, the collection has other settings, or another process was faster.
        """
        self._check_settings(sources)
        folders, state = self.generations(), self._state()
        held = {name: CorpusVersion(**value) for name, value in state["corpora"].items()}
        for done in held.values():  # a process that was killed after its commit left them
            shutil.rmtree(self._staging(done.label, done.identity), ignore_errors=True)
        wanted = self._new(sources, state)
        if not wanted:
            return None
        number = len(folders) + 1
        out = self.root / f"generation-{number:06d}"
        staging = {source.label: self._staging(source.label, identity) for source, identity in wanted}
        before = self._before(folders, held, {source.corpus.name for source, _ in wanted}, state["shards"])
        with new_dir(out) as folder:
            made = build_generation(folder, staging, [source for source, _ in wanted], before, mapper, progress)
            for ordinal, (source, identity) in enumerate(wanted):
                held[source.corpus.name] = CorpusVersion(source.label, identity, number, ordinal)
            labels = sorted({*state["labels"], *staging})
            corpora = {name: asdict(value) for name, value in sorted(held.items())}
            shards = before.shards + len(made.shards)
            told = {"corpora": corpora, "labels": labels, "shards": shards, "tombstones": made.dead}
            domains = {source.label: source.corpus.domain for source, _ in wanted}
            made_from = {"generation": number, "domains": domains}
            report = IngestReport(wanted[0][0].languages[1], 0, made.counts, made.shards, made_from)
            report.save(folder)
            (folder / "generation.json").write_text(json.dumps(told, indent=1, sort_keys=True) + "\n", "utf-8")
            failpoint("ingest.written")
        failpoint("ingest.named")
        for path in staging.values():
            shutil.rmtree(path)
        return report

    def _before(
        self, folders: list[Path], held: dict[str, CorpusVersion], replaced: set[str], shards: int
    ) -> CollectionState:
        members = {name: CorpusKeys(folders[h.generation - 1], h.ordinal) for name, h in held.items()}
        stay = tuple(m for name, m in members.items() if name not in replaced)
        go = tuple(m for name, m in members.items() if name in replaced)
        return CollectionState(tuple(folders), stay, go, shards)

    def _state(self) -> dict[str, Any]:
        folders = self.generations()
        if not folders:
            return {"corpora": {}, "labels": [], "shards": 0, "tombstones": 0}
        return json.loads((folders[-1] / "generation.json").read_text("utf-8"))

    def _new(self, sources: Sequence[Source], state: dict[str, Any]) -> list[tuple[Source, dict[str, Any]]]:
        """The sources that are not held as they are, with their identities and labels, in the order in which they win."""
        found = []
        for source in sorted(sources, key=lambda s: s.corpus.name):
            identity = source_identity(source)
            name = source.corpus.name
            if state["corpora"].get(name, {}).get("identity") != identity:
                found.append((replace(source, label=_free(source.label, state["labels"])), identity))
        return found

    def _staging(self, label: str, identity: dict[str, Any]) -> Path:
        readable = re.sub(r"\W+", "-", label)
        return self.root / "staging" / f"{readable}-{fingerprint({'label': label, **identity})}"

    def _check_settings(self, sources: Sequence[Source]) -> None:
        """All generations share languages, shard size and the version of the keys; the first call decides."""
        source = sources[0]
        labels = [s.corpus.name for s in sources]
        if len(set(labels)) < len(labels):
            raise UserError("two corpora have the same name", key="corpora", remedy="give them names of their own")
        mine = {"languages": list(source.languages), "shard_rows": source.ingest.shard_rows, "keys": PAIR_KEY_VERSION}
        file = self.root / "collection.json"
        # The temp file of a process that was killed right here is not somebody's data.
        foreign = [p for p in self.root.glob("*") if not TEMP.fullmatch(p.name)]
        if foreign and not file.exists():
            raise UserError("holds files but is no collection", file=self.root, remedy="choose another folder")
        write_bytes(file, (json.dumps(mine) + "\n").encode(), if_absent=True)
        held = json.loads(file.read_text("utf-8"))
        for line in describe_change(held, mine):
            remedy = "choose another folder, or ask for what it was made with"
            raise UserError(f"was made with other settings: {line}", file=self.root, remedy=remedy)


def source_identity(source: Source) -> dict[str, Any]:
    """What decides about a corpus's rows."""
    files = [file_identity(path) for path in (source.path, source.target_path) if path]
    ingest = source.ingest.fingerprint()
    return {
        "files": files,
        "format": source.corpus.format,
        "domain": source.corpus.domain,
        "min_score": source.corpus.min_score,
        "rules": {"max_chars": ingest["max_chars"], "clean": ingest.get("clean")},
    }


def _free(label: str, taken: list[str]) -> str:
    """The label, with a number where an older version has it: pair ids are unique within a label."""
    n = 2
    free = label
    while free in taken:
        free, n = f"{label}/{n}", n + 1
    return free


def dead_pairs(collection: Collection) -> pa.Table:
    """corpus, pair_id of the tombstoned pairs: reads every shard, for reports and tests."""
    dead, found = pa.array(collection.tombstones()), []
    for report in collection.reports():
        for shard in report.shards:
            table = pq.read_table(collection.root / shard.file)
            keys = pa.array(pair_keys(table["source"], table["target"]))
            found.append(table.filter(pc.is_in(keys, dead)).select(["corpus", "pair_id"]))
    return pa.concat_tables(found)
