"""Which pairs are new: a sorted index of keys, cut into ranges that are settled one by one, anywhere.

Keys are uniform, so equal ranges of them are equal work: each holds a few million keys, however many pairs there are,
and is a task of its own. It reads its slice of every sorted run, of what is staged and of what earlier generations
wrote, and leaves its slice of the next generation. So memory and the time of a task are constant, the number of tasks
grows with the pairs, and no file is ever rewritten: a generation adds 8 bytes for each pair that is new to the
collection and 8 for each different pair of its corpora.

    index-I-N.npy        keys that this generation wrote into shards: range I of N, sorted, unique
    member-C-I-N.npy     keys that corpus C of this generation has, duplicates of others included
    dead-I-N.npy         keys in shards that no corpus has any more, of all generations: the tombstones
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

RANGE_KEYS = 1 << 22  # about 100 MB in a task


@dataclass(frozen=True)
class Member:
    """The keys of a corpus: number `ordinal` in the generation of this folder."""

    folder: Path
    ordinal: int

    def files(self) -> list[Path]:
        return sorted(self.folder.glob(f"member-{self.ordinal}-*.npy"))


@dataclass(frozen=True)
class RangeTask:
    """One range of keys to settle.

    number, count: range `number` of `count`. staged: folders of the new corpora, in the order in which they win.
    earlier: folders of all generations so far. kept, replaced: the corpora that stay, and that get another version.
    out: folder of the new generation; work: where winners go.
    """

    number: int
    count: int
    staged: Sequence[Path]
    earlier: Sequence[Path]
    kept: Sequence[Member]
    replaced: Sequence[Member]
    out: Path
    work: Path


@dataclass(frozen=True)
class RangeResult:
    """known: by new corpus, rows whose pair an earlier generation has. dead: tombstones in this range."""

    known: list[int]
    written: int
    dead: int


def range_count(keys: int) -> int:
    """How many ranges so many keys need: a power of two."""
    return 1 << max(0, -(-keys // RANGE_KEYS) - 1).bit_length()


def count_keys(files: Iterable[Path]) -> int:
    return sum(int(np.load(file, mmap_mode="r").shape[-1]) for file in files)


def settle(task: RangeTask) -> RangeResult:
    """Find the winners of one range, and write its slices of the new generation.

    What an earlier generation wrote wins, then the corpora in their order, then the first line. The winners' places
    go to `work/win-C-I.npy`, uint64, sorted.
    """
    written = _union(_slices(_of(task.earlier, "index"), task))
    seen, members, known = written, [], []
    for c, folder in enumerate(task.staged):
        keys, places = _staged_slice(folder, task)
        first = np.append(True, keys[1:] != keys[:-1]) if len(keys) else np.zeros(0, bool)
        known.append(int(_within(keys, written).sum()))
        keys, places = keys[first], places[first]
        new = ~_within(keys, seen)
        np.save(task.work / f"win-{c}-{task.number:05d}.npy", np.sort(places[new]))
        np.save(task.out / _name(f"member-{c}", task), keys)
        members.append(keys)
        seen = np.sort(np.concatenate([seen, keys[new]]))
    fresh = seen[~_within(seen, written)]
    np.save(task.out / _name("index", task), fresh)
    dead = _dead(task, members)
    if len(dead):
        np.save(task.out / _name("dead", task), dead)
    return RangeResult(known, len(fresh), len(dead))


def _dead(task: RangeTask, members: list[np.ndarray]) -> np.ndarray:
    """Tombstones: those so far and what the replaced versions had, but for what any corpus has now."""
    suspects = _slices(_of(task.earlier[-1:], "dead"), task)
    for member in task.replaced:
        suspects += _slices(member.files(), task)
    dead = _union(suspects)
    for keys in members:
        dead = dead[~_within(dead, keys)]
    for member in task.kept:
        for keys in _slices(member.files(), task):
            dead = dead[~_within(dead, keys)]
    return dead


def _staged_slice(folder: Path, task: RangeTask) -> tuple[np.ndarray, np.ndarray]:
    """Keys of a staged corpus in this range, sorted, with their places; of equal keys the first place first."""
    runs = []
    for file in sorted(folder.glob("keys-*.npy")):
        run = np.load(file, mmap_mode="r")
        runs.append(np.array(run[:, _bounds(run[0], task)]))
    if not runs:
        return np.zeros(0, np.uint64), np.zeros(0, np.uint64)
    whole = np.concatenate(runs, axis=1)
    order = np.argsort(whole[0], kind="stable")
    return whole[0][order], whole[1][order]


def _slices(files: Iterable[Path], task: RangeTask) -> list[np.ndarray]:
    found = []
    for file in files:
        number, count = map(int, file.stem.split("-")[-2:])
        if number * task.count < (task.number + 1) * count and task.number * count < (number + 1) * task.count:
            keys = np.load(file, mmap_mode="r")
            found.append(np.array(keys[_bounds(keys, task)]))
    return found


def _bounds(keys: np.ndarray, task: RangeTask) -> slice:
    width = 2**64 // task.count
    first = int(np.searchsorted(keys, np.uint64(task.number * width)))
    last = task.number + 1 == task.count
    return slice(first, len(keys) if last else int(np.searchsorted(keys, np.uint64((task.number + 1) * width))))


def _union(parts: list[np.ndarray]) -> np.ndarray:
    return np.unique(np.concatenate(parts)) if parts else np.zeros(0, np.uint64)


def _within(keys: np.ndarray, ordered: np.ndarray) -> np.ndarray:
    """Mask of the keys that a sorted array holds."""
    if not len(ordered):
        return np.zeros(len(keys), bool)
    at = np.minimum(np.searchsorted(ordered, keys), len(ordered) - 1)
    return ordered[at] == keys


def _of(folders: Sequence[Path], kind: str) -> list[Path]:
    return [file for folder in folders for file in sorted(folder.glob(f"{kind}-*.npy"))]


def _name(kind: str, task: RangeTask) -> str:
    return f"{kind}-{task.number}-{task.count}.npy"


def dead_keys(folder: Path) -> np.ndarray:
    """All tombstones as of the generation in this folder, sorted."""
    return _union([np.load(file) for file in sorted(folder.glob("dead-*.npy"))])
