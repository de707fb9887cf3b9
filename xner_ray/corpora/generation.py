"""Corpora -> one generation of shards without duplicates: stage, settle, write; each step is many independent tasks.

    stage     a task a corpus: read once, clean, hash; segments and sorted keys (staging.py)
    settle    a task a range of keys: who came first stays (index.py)
    write     a task for some segments: the winners, packed into shards

Nothing but counts passes the driver. A segment that lost nothing is a shard already and only gets a second name; so
clean corpora are written once, and only thinned segments are read and packed again. Which shards come out depends on
the corpora and the generations before alone, not on the number of tasks or on how often a run was killed.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from xner_ray.corpora.dedup_index import CorpusKeys, RangeTask, count_keys, deduplicate_range, range_count
from xner_ray.corpora.ingest_report import CorpusCount
from xner_ray.corpora.readers.corpus_reader import Progress, Source
from xner_ray.corpora.shard_writer import Shard, ShardWriter
from xner_ray.corpora.staging import Staged, concat_quarantine, stage_corpus, take_positions
from xner_ray.storage.failpoints import failpoint

Mapper = Callable[[Callable[[Any], Any], Sequence[Any]], Iterable[Any]]  # `map`, or one that spreads over a cluster
_TASK_ROWS = 500_000


@dataclass(frozen=True)
class Before:
    """What a collection holds already. folders: of its generations. kept, replaced: members, see index.RangeTask."""

    folders: tuple[Path, ...] = ()
    kept: tuple[CorpusKeys, ...] = ()
    replaced: tuple[CorpusKeys, ...] = ()
    shards: int = 0


@dataclass(frozen=True)
class Generation:
    """What `build` made: counts by label, shards, and how many tombstones there are now."""

    counts: dict[str, CorpusCount]
    shards: list[Shard]
    dead: int


def build(
    out: Path,
    staging: dict[str, Path],
    sources: Sequence[Source],
    before: Before | None = None,
    mapper: Mapper = map,
    progress: Progress | None = None,
) -> Generation:
    """Read the sources and write what is new in them into the folder `out`, which exists.

    Args:
        staging: by label, where each source is staged; what is complete there is not read again.
        sources: earlier ones win.
        before: what wins against all of them.
        mapper: runs the tasks; its functions and items can be pickled where there is no `progress`.

    Raises:
        UserError: a corpus is missing, empty, damaged or mostly unreadable.
    """
    before, work = before or Before(), out / "work"
    work.mkdir()
    reading = partial(_stage, progress=progress)
    staged = list(mapper(reading, [(source, staging[source.label]) for source in sources]))
    known, dead = _settle_all(out, work, staged, before, mapper)
    failpoint("ingest.settled")
    counts: dict[str, CorpusCount] = {}
    shards: list[Shard] = []
    for c, (source, item) in enumerate(zip(sources, staged, strict=True)):
        groups = _groups(work, c, item, source.ingest.shard_rows, before.shards + len(shards))
        tasks = [_WriteTask(out, work, c, item, source.ingest.shard_rows, part) for part in _batches(groups)]
        written = [shard for part in mapper(_write, tasks) for shard in part]
        count = counts[source.label] = item.count
        count.known = known[c]
        count.duplicates = count.rows - sum(s.rows for s in written)
        count.rows -= count.duplicates
        shards += written
        if (item.folder / "scores.parquet").exists():
            _link(item.folder / "scores.parquet", out / f"scores-{c}.parquet")
    concat_quarantine(staged, out / "quarantine.parquet")
    shutil.rmtree(work)
    return Generation(counts, shards, dead)


def _stage(item: tuple[Source, Path], progress: Progress | None) -> Staged:
    return stage_corpus(*item, progress)


def _settle_all(out: Path, work: Path, staged: list[Staged], before: Before, mapper: Mapper) -> tuple[list[int], int]:
    """Settle all ranges: rows by corpus that are known from before, and the number of tombstones."""
    earlier = [file for folder in before.folders for file in folder.glob("index-*.npy")]
    ranges = range_count(sum(item.count.rows for item in staged) + count_keys(earlier))
    folders = [item.folder for item in staged]
    tasks = [
        RangeTask(i, ranges, folders, before.folders, before.kept, before.replaced, out, work) for i in range(ranges)
    ]
    results = list(mapper(deduplicate_range, tasks))
    known = [sum(result.known[c] for result in results) for c in range(len(staged))]
    return known, sum(result.dead for result in results)


@dataclass(frozen=True)
class _Group:
    """Segments first..last give the shard `number` of `rows` rows."""

    first: int
    last: int
    rows: int
    number: int


@dataclass(frozen=True)
class _WriteTask:
    out: Path
    work: Path
    corpus: int
    staged: Staged
    shard_rows: int
    groups: list[_Group]


def _groups(work: Path, corpus: int, staged: Staged, shard_rows: int, number: int) -> list[_Group]:
    """Consecutive segments together while their winners fit into one shard; those without a winner in none."""
    bounds = np.arange(len(staged.segments) + 1, dtype=np.uint64) * np.uint64(shard_rows)
    winners = np.zeros(len(staged.segments), np.int64)
    for file in _wins(work, corpus):
        winners += np.diff(np.searchsorted(np.load(file, mmap_mode="r"), bounds))
    groups: list[_Group] = []
    for segment in np.flatnonzero(winners).tolist():
        rows = int(winners[segment])
        if groups and groups[-1].rows + rows <= shard_rows:
            last = groups.pop()
            groups.append(_Group(last.first, segment, last.rows + rows, last.number))
        else:
            groups.append(_Group(segment, segment, rows, number + len(groups)))
    return groups


def _batches(groups: list[_Group]) -> list[list[_Group]]:
    """Groups in tasks of about `_TASK_ROWS` rows."""
    batches: list[list[_Group]] = []
    rows = _TASK_ROWS
    for group in groups:
        if rows >= _TASK_ROWS:
            batches.append([])
            rows = 0
        batches[-1].append(group)
        rows += group.rows
    return batches


def _write(task: _WriteTask) -> list[Shard]:
    wins = [np.load(file, mmap_mode="r") for file in _wins(task.work, task.corpus)]
    shards = []
    for group in task.groups:
        segment = task.staged.segments[group.first]
        if group.first == group.last and group.rows == segment.rows:
            name = f"shard-{group.number:05d}.parquet"
            _link(task.staged.folder / segment.file, task.out / name)
            shards.append(Shard(name, segment.rows, segment.sha256))
            continue
        ends = np.array([group.first, group.last + 1], np.uint64) * np.uint64(task.shard_rows)
        parts = [win[slice(*np.searchsorted(win, ends))] for win in wins]
        table = take_positions(task.staged, np.sort(np.concatenate(parts)), group.first, group.last, task.shard_rows)
        writer = ShardWriter(task.out, task.shard_rows, group.number)
        writer.add(table)
        shards += writer.close()
    return shards


def _wins(work: Path, corpus: int) -> list[Path]:
    return sorted(work.glob(f"win-{corpus}-*.npy"))


def _link(source: Path, target: Path) -> None:
    """A second name for a file that never changes; a killed task's leftover is the same file."""
    target.unlink(missing_ok=True)
    os.link(source, target)
