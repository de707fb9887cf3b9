"""Judged shards as a stream: what is counted in all of it, and which rows are taken out to be looked at.

One pass in batches, so memory does not grow with the run. Examples are the rows with the smallest hashes of each cell
(language, corpus, verdict): the same ones each time, and a rare verdict has examples beside a frequent one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from xner_ray.corpora.sampling import BottomK, mix, pair_hash
from xner_ray.errors import UserError
from xner_ray.projection.sentence_sampling import groups
from xner_ray.schema import KEPT
from xner_ray.text.arrow_strings import list_offsets

BATCH = 8192
SCORE_BINS = 20
Cell = tuple[str, str, str]  # language, corpus, verdict


def batches(files: Iterable[str]) -> Iterator[pa.RecordBatch]:
    """Rows of judged shards. Raises: UserError where a shard cannot be read."""
    for file in files:
        try:
            with pq.ParquetFile(file) as shard:
                yield from shard.iter_batches(BATCH)
        except (OSError, pa.ArrowInvalid) as e:
            raise UserError(f"cannot be read: {e}", file=file, remedy="run `xner run` again") from e


@dataclass
class Tally:
    """Counts over all rows. `found` and `kept`: entities by (language, corpus, type), as the teacher found them and as
    the rules kept them. `scores`: histograms over 0..1 in SCORE_BINS by (model, whether the row was kept).
    """

    found: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    kept: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    scores: dict[tuple[str, bool], np.ndarray] = field(default_factory=dict)

    def add(self, batch: pa.RecordBatch) -> None:
        for key, rows in groups(batch, "language", "corpus"):
            part = batch.filter(pa.array(rows))
            for name, counts in (("entities", self.found), ("spans", self.kept)):
                for row in part.column(name).flatten().field("type").value_counts().to_pylist():
                    counts[*key, row["values"]] += row["counts"]
        kept = pc.equal(batch.column("verdict"), KEPT).to_numpy(zero_copy_only=False)
        for model, name in (("teacher", "entities"), ("aligner", "projections")):
            rows, scores = scored(batch, name)
            bins = np.minimum((scores * SCORE_BINS).astype(int), SCORE_BINS - 1)
            for fate in (True, False):
                counts_of = np.bincount(bins[kept[rows] == fate], minlength=SCORE_BINS)
                self.scores[model, fate] = self.scores.get((model, fate), 0) + counts_of


class Sample:
    """Rows to look at: of each cell as many as `wanted` says."""

    def __init__(self, wanted: Mapping[Cell, int], seed: int):
        self.seed = seed
        self._pools = {cell: BottomK(n) for cell, n in wanted.items() if n}

    def add(self, batch: pa.RecordBatch) -> None:
        hashes = row_hashes(batch, self.seed)
        for cell, rows in groups(batch, "language", "corpus", "verdict"):
            if cell in self._pools:
                self._pools[cell].add(pa.table(batch.filter(pa.array(rows))), hashes[rows])

    def rows(self) -> list[dict]:
        """The rows taken, cell by cell."""
        return [row for pool in self._pools.values() if (table := pool.result()) for row in table.to_pylist()]


@dataclass(frozen=True)
class Filter:
    """Which rows are asked for; None asks for all. Scores are a row's lowest, of entities and projections."""

    verdict: str | None = None
    language: str | None = None
    corpus: str | None = None
    type: str | None = None
    min_score: float | None = None
    max_score: float | None = None

    def __call__(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        mask = np.ones(batch.num_rows, bool)
        for name in ("verdict", "language", "corpus"):
            if (value := getattr(self, name)) is not None:
                mask &= pc.equal(batch.column(name), value).to_numpy(zero_copy_only=False)
        if self.type is not None:
            types = batch.column("entities").flatten().field("type")
            has = np.zeros(batch.num_rows, bool)
            has[scored(batch, "entities")[0][pc.equal(types, self.type).to_numpy(zero_copy_only=False)]] = True
            mask &= has
        if self.min_score is not None or self.max_score is not None:
            lowest = lowest_scores(batch)  # a row without a score is neither above nor below one
            mask &= (lowest >= (self.min_score or 0.0)) & (
                lowest <= (1.0 if self.max_score is None else self.max_score)
            )
        return batch.filter(pa.array(mask))


def find(files: Iterable[str], wanted: Filter, n: int, seed: int) -> tuple[list[dict], int]:
    """n of the rows that a filter lets pass, and how many those are."""
    pool = BottomK(n)
    for batch in batches(files):
        passed = wanted(batch)
        if passed.num_rows:
            pool.add(pa.table(passed), row_hashes(passed, seed))
    table = pool.result()
    return (table.to_pylist() if table else []), pool.seen


def row_hashes(batch: pa.RecordBatch, seed: int) -> np.ndarray:
    """A place for each row, uint64; mixed once more, as ingest took the smallest plain hashes."""
    hashes, ids = np.zeros(batch.num_rows, np.uint64), batch.column("pair_id").to_numpy()
    for (language, corpus), rows in groups(batch, "language", "corpus"):
        hashes[rows] = mix(pair_hash(seed, corpus, language, ids[rows]))
    return hashes


def scored(batch: pa.RecordBatch, name: str) -> tuple[np.ndarray, np.ndarray]:
    """The row and the score of each element of a list column."""
    lists = batch.column(name)
    rows = np.repeat(np.arange(len(lists)), np.diff(list_offsets(lists)))
    return rows, lists.flatten().field("score").to_numpy(zero_copy_only=False)


def lowest_scores(batch: pa.RecordBatch) -> np.ndarray:
    """The lowest score of each row, NaN where it has none; rounded as scores are stored, so that 0.9 passes 0.9."""
    lowest = np.full(batch.num_rows, np.inf)
    for name in ("entities", "projections"):
        rows, scores = scored(batch, name)
        np.minimum.at(lowest, rows, np.round(scores.astype(np.float64), 4))
    return np.where(np.isinf(lowest), np.nan, lowest)
