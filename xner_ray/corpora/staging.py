"""Archive -> staged segments: the one streaming pass over a corpus, before anything is known of duplicates.

A segment is what becomes a shard if none of its pairs turns out to be a duplicate. With the segments go the keys of
their pairs, in sorted runs, so that finding duplicates reads 16 bytes a pair instead of its text. A corpus is staged
whole or not at all: a restart skips the corpora whose folders are there, and memory is a chunk, a segment and a run.

    shard-00000.parquet ..   segments of schema PAIR, `shard_rows` each but for the last
    keys-00000.npy ..        uint64 [2, n]: keys, sorted, and the place of each: the row's number over all segments
    scores.parquet           scores of every readable pair, where `ingest.clean` is set
    quarantine.parquet       lines that cannot be used
    staged.json              counts and segments
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from xner_ray.corpora.ingest_report import CorpusCount
from xner_ray.corpora.readers.corpus_reader import CorpusReader, Progress, Source
from xner_ray.corpora.shard_writer import Shard, ShardWriter, parquet_settings, quarantine_writer
from xner_ray.storage.atomic import new_dir
from xner_ray.storage.failpoints import failpoint
from xner_ray.text.sentence_keys import pair_keys

RUN_KEYS = 1 << 20


@dataclass(frozen=True)
class Staged:
    """A staged corpus. count: before duplicates are taken out."""

    folder: Path
    count: CorpusCount
    segments: list[Shard]


def stage(source: Source, folder: Path, progress: Progress | None = None) -> Staged:
    """Read a corpus into a folder that appears when it is complete; a complete one is left as it is.

    Raises:
        UserError: the corpus is missing, empty, damaged or mostly unreadable.
    """
    if (folder / "staged.json").exists():
        return _load(folder)
    with new_dir(folder) as temporary:
        count, segments = _read(source, temporary, progress)
        told = {"count": asdict(count), "segments": [asdict(s) for s in segments]}
        (temporary / "staged.json").write_text(json.dumps(told), encoding="utf-8")
        failpoint("ingest.read")
    failpoint("ingest.staged")
    return _load(folder)


def _load(folder: Path) -> Staged:
    told = json.loads((folder / "staged.json").read_text(encoding="utf-8"))
    return Staged(folder, CorpusCount(**told["count"]), [Shard(**s) for s in told["segments"]])


def _read(source: Source, folder: Path, progress: Progress | None) -> tuple[CorpusCount, list[Shard]]:
    quarantine = quarantine_writer(folder / "quarantine.parquet")
    scores: pq.ParquetWriter | None = None
    segments, runs = ShardWriter(folder, source.ingest.shard_rows), _KeyRuns(folder)
    reader = CorpusReader(source, quarantine, progress)
    try:
        for chunk in reader.read():
            cleaned = reader.clean(chunk)
            segments.add(cleaned.pairs)
            runs.add(pair_keys(cleaned.pairs["source"], cleaned.pairs["target"]))
            if cleaned.scores.num_columns:
                scores = scores or pq.ParquetWriter(
                    folder / "scores.parquet", cleaned.scores.schema, **parquet_settings(["dropped"])
                )
                scores.write_table(cleaned.scores)
    finally:
        quarantine.close()
        if scores:
            scores.close()
    reader.check_quarantined()
    runs.close()
    return reader.count, segments.close()


class _KeyRuns:
    """Writes keys with their places in sorted runs; holds one run and one chunk."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._held: list[np.ndarray] = []
        self._rows = self._done = self._runs = 0

    def add(self, keys: np.ndarray) -> None:
        self._held.append(keys)
        self._rows += len(keys)
        if self._rows >= RUN_KEYS:
            self.close()

    def close(self) -> None:
        if self._rows:
            keys = np.concatenate(self._held)
            order = np.argsort(keys, kind="stable")  # stable: of equal keys the first place comes first
            run = np.stack([keys[order], order.astype(np.uint64) + np.uint64(self._done)])
            np.save(self.folder / f"keys-{self._runs:05d}.npy", run)
            self._runs, self._done = self._runs + 1, self._done + self._rows
        self._held, self._rows = [], 0


def concat_quarantine(staged: list[Staged], path: Path) -> None:
    """One quarantine file of all corpora, a row group at a time."""
    with quarantine_writer(path) as writer:
        for item in staged:
            with pq.ParquetFile(item.folder / "quarantine.parquet") as file:
                for group in range(file.num_row_groups):
                    writer.write_table(file.read_row_group(group))


def take_places(staged: Staged, places: np.ndarray, first: int, last: int, shard_rows: int) -> pa.Table:
    """The rows at `places` (sorted, all within the segments first..last) of a staged corpus, a segment at a time."""
    tables = []
    bounds = np.arange(first, last + 2, dtype=np.uint64) * np.uint64(shard_rows)
    cuts = np.searchsorted(places, bounds)
    for n, segment in enumerate(range(first, last + 1)):
        wanted = places[cuts[n] : cuts[n + 1]]
        if len(wanted):
            table = pq.read_table(staged.folder / staged.segments[segment].file)
            tables.append(table.take(pa.array((wanted - bounds[n]).astype(np.int64))))
    return pa.concat_tables(tables)
