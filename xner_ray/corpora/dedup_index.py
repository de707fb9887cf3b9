"""Deduplication of pairs with a sorted index of 64-bit keys, cut into ranges that are independent tasks.

Keys are uniform, so equal ranges of keys hold equally many. Each range has a few million keys, however many pairs there
are. A task reads its range of every sorted file: those of the staged corpora and those of earlier generations. It
writes its range of the new generation. So the memory and the time of a task are constant, and the number of tasks grows
with the number of pairs. No file is rewritten. A generation adds 8 bytes for each pair that is new in the collection,
and 8 bytes for each distinct pair of its corpora.

    index-I-N.npy        keys of the pairs that this generation wrote into shards; range I of N, sorted, unique
    member-C-I-N.npy     keys of corpus C of this generation, including those of duplicates
    dead-I-N.npy         tombstones: keys of pairs in shards of any generation that no corpus contains any more
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xner_ray.storage.verify import load_array, save_array

KEYS_PER_RANGE = 1 << 22  # a task then needs about 100 MB


@dataclass(frozen=True)
class CorpusKeys:
    """The stored keys of a corpus.

    Attributes:
        folder: folder of its generation.
        ordinal: number of the corpus in this generation.
    """

    folder: Path
    ordinal: int

    def files(self) -> list[Path]:
        """Files with the keys, one for each range."""
        return sorted(self.folder.glob(f"member-{self.ordinal}-*.npy"))


@dataclass(frozen=True)
class RangeTask:
    """One range of keys to deduplicate.

    Attributes:
        number: number of the range.
        count: number of ranges.
        staged: folders of the staged corpora; of equal pairs the one in the earlier folder is kept.
        earlier: folders of all earlier generations.
        kept: corpora of earlier generations that stay.
        replaced: corpora of earlier generations that get another version.
        out: folder of the new generation.
        work: folder for the positions of the pairs that are kept.
    """

    number: int
    count: int
    staged: Sequence[Path]
    earlier: Sequence[Path]
    kept: Sequence[CorpusKeys]
    replaced: Sequence[CorpusKeys]
    out: Path
    work: Path


@dataclass(frozen=True)
class RangeResult:
    """Counts of one range.

    Attributes:
        known: for each staged corpus, rows whose pair an earlier generation contains.
        tombstones: number of tombstones.
    """

    known: list[int]
    tombstones: int


def range_count(keys: int) -> int:
    """The number of ranges for so many keys, a power of two."""
    return 1 << max(0, -(-keys // KEYS_PER_RANGE) - 1).bit_length()


def count_keys(files: Iterable[Path]) -> int:
    """The number of keys in files."""
    return sum(int(np.load(file, mmap_mode="r").shape[-1]) for file in files)


def deduplicate_range(task: RangeTask) -> RangeResult:
    """Find the pairs of one range that are kept, and write its index files of the new generation.

    Pairs of earlier generations take precedence, then the corpora in their order, then the first line. The positions of the
    kept pairs go to `work/kept-C-I.npy`, uint64, sorted.
    """
    indexed = _union(_slices(_files(task.earlier, "index"), task))
    seen, members, known = indexed, [], []
    for c, folder in enumerate(task.staged):
        keys, positions = _staged_slice(folder, task)
        first = np.append(True, keys[1:] != keys[:-1]) if len(keys) else np.zeros(0, bool)
        known.append(int(_is_in(keys, indexed).sum()))
        keys, positions = keys[first], positions[first]
        new = ~_is_in(keys, seen)
        np.save(task.work / f"kept-{c}-{task.number:05d}.npy", np.sort(positions[new]))
        save_array(task.out / _name(f"member-{c}", task), keys)
        members.append(keys)
        seen = np.sort(np.concatenate([seen, keys[new]]))
    save_array(task.out / _name("index", task), seen[~_is_in(seen, indexed)])
    tombstones = _tombstones(task, members)
    if len(tombstones):
        save_array(task.out / _name("dead", task), tombstones)
    return RangeResult(known, len(tombstones))


def _tombstones(task: RangeTask, members: list[np.ndarray]) -> np.ndarray:
    """Earlier tombstones and the keys of replaced versions, without those that a corpus contains now."""
    candidates = _slices(_files(task.earlier[-1:], "dead"), task)
    for corpus in task.replaced:
        candidates += _slices(corpus.files(), task)
    dead = _union(candidates)
    for keys in members:
        dead = dead[~_is_in(dead, keys)]
    for corpus in task.kept:
        for keys in _slices(corpus.files(), task):
            dead = dead[~_is_in(dead, keys)]
    return dead


def _staged_slice(folder: Path, task: RangeTask) -> tuple[np.ndarray, np.ndarray]:
    """Keys of a staged corpus in this range and their positions, sorted by key and then by position."""
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
    """The keys of this range in files of any number of ranges."""
    slices = []
    for file in files:
        number, count = map(int, file.stem.split("-")[-2:])
        if number * task.count < (task.number + 1) * count and task.number * count < (number + 1) * task.count:
            keys = load_array(file)
            slices.append(keys[_bounds(keys, task)])
    return slices


def _bounds(keys: np.ndarray, task: RangeTask) -> slice:
    width = 2**64 // task.count
    first = int(np.searchsorted(keys, np.uint64(task.number * width)))
    last = task.number + 1 == task.count
    return slice(first, len(keys) if last else int(np.searchsorted(keys, np.uint64((task.number + 1) * width))))


def _union(parts: list[np.ndarray]) -> np.ndarray:
    return np.unique(np.concatenate(parts)) if parts else np.zeros(0, np.uint64)


def _is_in(keys: np.ndarray, ordered: np.ndarray) -> np.ndarray:
    """bool mask of the keys that a sorted array contains."""
    if not len(ordered):
        return np.zeros(len(keys), bool)
    at = np.minimum(np.searchsorted(ordered, keys), len(ordered) - 1)
    return ordered[at] == keys


def _files(folders: Sequence[Path], kind: str) -> list[Path]:
    return [file for folder in folders for file in sorted(folder.glob(f"{kind}-*.npy"))]


def _name(kind: str, task: RangeTask) -> str:
    return f"{kind}-{task.number}-{task.count}.npy"


def load_tombstones(folder: Path) -> np.ndarray:
    """All tombstones as of the generation in this folder, uint64, sorted."""
    return _union([load_array(file) for file in sorted(folder.glob("dead-*.npy"))])
