"""From corpora to one generation of shards without duplicates, in three steps of independent tasks.

    stage         a task per corpus: read once, clean, hash; writes segments and sorted keys (staging.py)
    deduplicate   a task per range of keys: the first occurrence of a pair is kept (dedup_index.py)
    write         a task for several segments: the kept pairs, packed into shards

Only counts pass through the driver. A segment without duplicates becomes a shard by a hard link, so clean corpora are
written once, and only segments with duplicates are read and packed again. The shards depend only on the corpora and on
the earlier generations, not on the number of tasks or on interruptions.
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
from xner_ray.corpora.staging import StagedCorpus, concat_quarantine, stage_corpus, take_positions
from xner_ray.storage.failpoints import failpoint

Mapper = Callable[[Callable[[Any], Any], Sequence[Any]], Iterable[Any]]  # `map`, or a map over the nodes of a cluster
_ROWS_PER_TASK = 500_000


@dataclass(frozen=True)
class CollectionState:
    """What a collection contains before a generation is added.

    Attributes:
        folders: folders of its generations.
        kept: keys of the corpora that stay.
        replaced: keys of the corpora that get another version.
        shards: number of its shards.
    """

    folders: tuple[Path, ...] = ()
    kept: tuple[CorpusKeys, ...] = ()
    replaced: tuple[CorpusKeys, ...] = ()
    shards: int = 0


@dataclass(frozen=True)
class Generation:
    """The result of `build_generation`.

    Attributes:
        counts: by label of the corpus.
        shards: files of the generation.
        tombstones: number of tombstones in the collection.
    """

    counts: dict[str, CorpusCount]
    shards: list[Shard]
    tombstones: int


def build_generation(
    out: Path,
    staging: dict[str, Path],
    sources: Sequence[Source],
    state: CollectionState | None = None,
    mapper: Mapper = map,
    progress: Progress | None = None,
    read_mapper: Mapper | None = None,
) -> Generation:
    """Read the sources and write their new pairs as shards.

    Args:
        out: an existing folder.
        staging: by label, the folder in which each source is staged; a complete folder is not read again.
        sources: of equal pairs, the one in the earlier source is kept.
        state: the collection; its pairs take precedence over those of all sources.
        mapper: runs the tasks. It may pickle functions and items if there is no `progress`.
        progress: see `CorpusReader`.
        read_mapper: runs the tasks that read corpora, which may be from servers. Default: `mapper`.

    Raises:
        UserError: a corpus is missing, empty, damaged or mostly unreadable.
    """
    state, work = state or CollectionState(), out / "work"
    work.mkdir()
    items = [(x, staging[x.label]) for x in sources]
    staged = list((read_mapper or mapper)(partial(_stage, progress=progress), items))
    known, tombstones = _deduplicate(out, work, staged, state, mapper)
    failpoint("ingest.deduplicated")
    shards = _write_shards(out, work, sources, staged, state.shards, mapper)
    counts: dict[str, CorpusCount] = {}
    for c, (source, item) in enumerate(zip(sources, staged, strict=True)):
        count = counts[source.label] = item.count
        count.known = known[c]
        count.duplicates = count.rows - sum(s.rows for s in shards[c])
        count.rows -= count.duplicates
        if (item.folder / "scores.parquet").exists():
            _link(item.folder / "scores.parquet", out / f"scores-{c}.parquet")
    concat_quarantine(staged, out / "quarantine.parquet")
    shutil.rmtree(work)
    return Generation(counts, [shard for part in shards for shard in part], tombstones)


def _stage(item: tuple[Source, Path], progress: Progress | None) -> StagedCorpus:
    return stage_corpus(*item, progress)


def _deduplicate(
    out: Path, work: Path, staged: list[StagedCorpus], state: CollectionState, mapper: Mapper
) -> tuple[list[int], int]:
    """Deduplicate all ranges: by corpus the rows that earlier generations contain, and the number of tombstones."""
    indexes = [file for folder in state.folders for file in folder.glob("index-*.npy")]
    ranges = range_count(sum(item.count.rows for item in staged) + count_keys(indexes))
    folders = [item.folder for item in staged]
    tasks = [
        RangeTask(i, ranges, folders, state.folders, state.kept, state.replaced, out, work) for i in range(ranges)
    ]
    results = list(mapper(deduplicate_range, tasks))
    known = [sum(result.known[c] for result in results) for c in range(len(staged))]
    return known, sum(result.tombstones for result in results)


@dataclass(frozen=True)
class _Group:
    """Segments first..last that become shard `number` with `rows` rows."""

    first: int
    last: int
    rows: int
    number: int


@dataclass(frozen=True)
class _WriteTask:
    out: Path
    work: Path
    corpus: int
    staged: StagedCorpus
    shard_rows: int
    groups: list[_Group]


def _groups(work: Path, corpus: int, staged: StagedCorpus, shard_rows: int, number: int) -> list[_Group]:
    """Groups of consecutive segments whose kept rows fit into one shard; segments without kept rows are left out."""
    bounds = np.arange(len(staged.segments) + 1, dtype=np.uint64) * np.uint64(shard_rows)
    kept = np.zeros(len(staged.segments), np.int64)
    for file in _position_files(work, corpus):
        kept += np.diff(np.searchsorted(np.load(file, mmap_mode="r"), bounds))
    groups: list[_Group] = []
    for segment in np.flatnonzero(kept).tolist():
        rows = int(kept[segment])
        if groups and groups[-1].rows + rows <= shard_rows:
            last = groups.pop()
            groups.append(_Group(last.first, segment, last.rows + rows, last.number))
        else:
            groups.append(_Group(segment, segment, rows, number + len(groups)))
    return groups


def _write_shards(
    out: Path, work: Path, sources: Sequence[Source], staged: list[StagedCorpus], number: int, mapper: Mapper
) -> list[list[Shard]]:
    """Write the kept pairs of all corpora at the same time. Returns the shards of each corpus; the first has this number."""
    tasks: list[_WriteTask] = []
    for c, (source, item) in enumerate(zip(sources, staged, strict=True)):
        groups = _groups(work, c, item, source.ingest.shard_rows, number)
        tasks += [_WriteTask(out, work, c, item, source.ingest.shard_rows, part) for part in _batches(groups)]
        number += len(groups)
    shards: list[list[Shard]] = [[] for _ in sources]
    for task, written in zip(tasks, mapper(_write, tasks), strict=True):
        shards[task.corpus] += written
    return shards


def _batches(groups: list[_Group]) -> list[list[_Group]]:
    """Groups in tasks of about `_ROWS_PER_TASK` rows."""
    batches: list[list[_Group]] = []
    rows = _ROWS_PER_TASK
    for group in groups:
        if rows >= _ROWS_PER_TASK:
            batches.append([])
            rows = 0
        batches[-1].append(group)
        rows += group.rows
    return batches


def _write(task: _WriteTask) -> list[Shard]:
    positions = [np.load(file, mmap_mode="r") for file in _position_files(task.work, task.corpus)]
    shards = []
    for group in task.groups:
        segment = task.staged.segments[group.first]
        if group.first == group.last and group.rows == segment.rows:
            name = f"shard-{group.number:05d}.parquet"
            _link(task.staged.folder / segment.file, task.out / name)
            shards.append(Shard(name, segment.rows, segment.sha256))
            continue
        ends = np.array([group.first, group.last + 1], np.uint64) * np.uint64(task.shard_rows)
        parts = [x[slice(*np.searchsorted(x, ends))] for x in positions]
        table = take_positions(task.staged, np.sort(np.concatenate(parts)), group.first, group.last, task.shard_rows)
        writer = ShardWriter(task.out, task.shard_rows, group.number)
        writer.add(table)
        shards += writer.close()
    return shards


def _position_files(work: Path, corpus: int) -> list[Path]:
    return sorted(work.glob(f"kept-{corpus}-*.npy"))


def _link(source: Path, target: Path) -> None:
    """Hard-link a file that never changes; the target of a killed task is the same file."""
    target.unlink(missing_ok=True)
    os.link(source, target)
