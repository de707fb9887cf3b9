"""Staging: one streaming pass over a corpus that writes cleaned segments and the keys of their pairs.

A segment becomes a shard if none of its pairs is a duplicate. Deduplication reads the keys, 16 bytes a pair, instead of
the text. The folder of a staged corpus appears complete or not at all, so a restart skips the corpora that are staged.
Memory holds one chunk, one segment and one run of keys.

    shard-00000.parquet ..   segments of schema PAIR; all but the last have `shard_rows` rows
    keys-00000.npy ..        uint64 [2, n]: sorted keys, and the position of each, its row number over all segments
    scores.parquet           scores of every readable pair, if `ingest.clean` is set
    quarantine.parquet       lines that cannot be used
    staged.json              counts and segments
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from xner_ray.corpora.ingest_report import CorpusCount
from xner_ray.corpora.readers.corpus_reader import CorpusReader, Progress, Source
from xner_ray.corpora.shard_writer import Shard, ShardWriter, parquet_settings, quarantine_writer
from xner_ray.errors import UserError
from xner_ray.storage.atomic import new_dir
from xner_ray.storage.failpoints import failpoint
from xner_ray.storage.fingerprint import hash_file
from xner_ray.storage.verify import dump_checked, load_checked
from xner_ray.text.sentence_keys import pair_keys

KEYS_PER_RUN = 1 << 20


@dataclass(frozen=True)
class StagedCorpus:
    """A staged corpus.

    Attributes:
        folder: its files.
        count: counts before deduplication.
        segments: its segments.
    """

    folder: Path
    count: CorpusCount
    segments: list[Shard]


def stage_corpus(source: Source, folder: Path, progress: Progress | None = None) -> StagedCorpus:
    """Stage a corpus, unless its folder is complete.

    Args:
        source: the corpus.
        folder: appears when the corpus is staged.
        progress: see `CorpusReader`.

    Raises:
        UserError: the corpus is missing, empty, damaged or mostly unreadable.
    """
    if (folder / "staged.json").exists():
        return _load(folder, check=True)
    with new_dir(folder) as temporary:
        count, segments = _read(source, temporary, progress)
        files = {p.name: hash_file(p) for p in sorted(temporary.iterdir())}
        tree = {"count": asdict(count), "segments": [asdict(s) for s in segments], "files": files}
        (temporary / "staged.json").write_text(dump_checked(tree), encoding="utf-8")
        failpoint("ingest.read")
    failpoint("ingest.staged")
    return _load(folder)


def _load(folder: Path, check: bool = False) -> StagedCorpus:
    """A staged corpus. `check`: an earlier process wrote it, so that its files are compared with their hashes."""
    remedy = f"delete {folder}, and run again: the corpus is read again"
    try:
        tree = load_checked((folder / "staged.json").read_bytes())
        staged = StagedCorpus(folder, CorpusCount(**tree["count"]), [Shard(**s) for s in tree["segments"]])
        files = dict(tree["files"])
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise UserError(f"cannot be read: {e}", file=folder / "staged.json", remedy=remedy) from e
    for name, sha256 in files.items() if check else ():
        if not (folder / name).is_file() or hash_file(folder / name) != sha256:
            raise UserError("is gone or damaged", file=folder / name, remedy=remedy)
    return staged


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
    reader.finish()
    runs.close()
    return reader.count, segments.close()


class _KeyRuns:
    """Writes keys and their positions in sorted runs; holds one run and one chunk."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._buffer: list[np.ndarray] = []
        self._rows = self._done = self._runs = 0

    def add(self, keys: np.ndarray) -> None:
        self._buffer.append(keys)
        self._rows += len(keys)
        if self._rows >= KEYS_PER_RUN:
            self.close()

    def close(self) -> None:
        if self._rows:
            keys = np.concatenate(self._buffer)
            order = np.argsort(keys, kind="stable")  # stable: equal keys stay in the order of their positions
            run = np.stack([keys[order], order.astype(np.uint64) + np.uint64(self._done)])
            np.save(self.folder / f"keys-{self._runs:05d}.npy", run)
            self._runs, self._done = self._runs + 1, self._done + self._rows
        self._buffer, self._rows = [], 0


def concat_quarantine(staged: list[StagedCorpus], path: Path) -> None:
    """Copy the quarantined lines of all corpora into one file, one row group at a time."""
    with quarantine_writer(path) as writer:
        for item in staged:
            with pq.ParquetFile(item.folder / "quarantine.parquet") as file:
                for group in range(file.num_row_groups):
                    writer.write_table(file.read_row_group(group))


def take_positions(staged: StagedCorpus, positions: np.ndarray, first: int, last: int, shard_rows: int) -> pa.Table:
    """Read rows of a staged corpus, one segment at a time.

    Args:
        staged: the corpus.
        positions: uint64 [n], sorted row numbers over all segments; all within the segments first..last.
        first: the first segment.
        last: the last segment, inclusive.
        shard_rows: rows of a segment.

    Returns:
        n rows of schema PAIR.
    """
    tables = []
    bounds = np.arange(first, last + 2, dtype=np.uint64) * np.uint64(shard_rows)
    cuts = np.searchsorted(positions, bounds)
    for n, segment in enumerate(range(first, last + 1)):
        inside = positions[cuts[n] : cuts[n + 1]]
        if len(inside):
            table = pq.read_table(staged.folder / staged.segments[segment].file)
            tables.append(table.take(pa.array((inside - bounds[n]).astype(np.int64))))
    return pa.concat_tables(tables)
