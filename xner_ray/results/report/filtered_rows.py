"""Filtered shards as a stream: counts over all rows, a sample of them, and rows that pass a filter.

It reads in batches, so memory does not grow with the run. The sample holds the rows with the smallest hashes of each cell
(language, corpus, verdict). So it is the same each time, and a rare verdict has examples beside a frequent one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from xner_ray.corpora.sampling import BottomK, pair_hash
from xner_ray.errors import UserError
from xner_ray.schema import KEPT
from xner_ray.text.arrow_kernels import group_masks, list_offsets
from xner_ray.text.sentence_keys import splitmix64

BATCH_ROWS = 8192
SCORE_BINS = 20
Cell = tuple[str, str, str]  # language, corpus, verdict


def read_batches(files: Iterable[str]) -> Iterator[pa.RecordBatch]:
    """Rows of schema.FILTERED from filtered shards.

    Raises:
        UserError: a shard cannot be read.
    """
    for file in files:
        try:
            with pq.ParquetFile(file) as shard:
                yield from shard.iter_batches(BATCH_ROWS)
        except (OSError, pa.ArrowInvalid) as e:
            raise UserError(f"cannot be read: {e}", file=file, remedy="run `xner run` again") from e


@dataclass
class Tally:
    """Counts over all rows.

    Attributes:
        teacher: entities that the teacher found, by (language, corpus, type).
        kept: entities that the rules kept, by the same key.
        scores: histograms over 0..1 with SCORE_BINS bins, by (model, whether the row was kept).
    """

    teacher: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    kept: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    scores: dict[tuple[str, bool], np.ndarray] = field(default_factory=dict)

    def add(self, batch: pa.RecordBatch) -> None:
        """Count the rows of a batch."""
        for key, rows in group_masks(batch, "language", "corpus"):
            part = batch.filter(pa.array(rows))
            for name, counts in (("entities", self.teacher), ("spans", self.kept)):
                for row in part.column(name).flatten().field("type").value_counts().to_pylist():
                    counts[*key, row["values"]] += row["counts"]
        kept = pc.equal(batch.column("verdict"), KEPT).to_numpy(zero_copy_only=False)
        for model, name in (("teacher", "entities"), ("aligner", "projections")):
            rows, scores = element_scores(batch, name)
            bins = np.minimum((scores * SCORE_BINS).astype(int), SCORE_BINS - 1)
            for is_kept in (True, False):
                histogram = np.bincount(bins[kept[rows] == is_kept], minlength=SCORE_BINS)
                self.scores[model, is_kept] = self.scores.get((model, is_kept), 0) + histogram


class StratifiedSample:
    """A sample with a size for each cell.

    Args:
        sizes: rows to take of each cell, at most.
        seed: decides which rows.
    """

    def __init__(self, sizes: Mapping[Cell, int], seed: int):
        self.seed = seed
        self._samples = {cell: BottomK(n) for cell, n in sizes.items() if n}

    def add(self, batch: pa.RecordBatch) -> None:
        """Offer the rows of a batch."""
        hashes = row_hashes(batch, self.seed)
        for cell, rows in group_masks(batch, "language", "corpus", "verdict"):
            if cell in self._samples:
                self._samples[cell].add(pa.table(batch.filter(pa.array(rows))), hashes[rows])

    def rows(self) -> list[dict]:
        """The sampled rows, cell by cell."""
        return [row for sample in self._samples.values() if (table := sample.result()) for row in table.to_pylist()]


@dataclass(frozen=True)
class RowFilter:
    """Conditions on rows; None is no condition.

    Attributes:
        verdict, language, corpus: the value of the column.
        type: the type of at least one source entity.
        min_score, max_score: limits of the row's lowest score, of entities and projections. Rows without a score do not pass.
    """

    verdict: str | None = None
    language: str | None = None
    corpus: str | None = None
    type: str | None = None
    min_score: float | None = None
    max_score: float | None = None

    def __call__(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The rows of a batch that meet all conditions."""
        mask = np.ones(batch.num_rows, bool)
        for name in ("verdict", "language", "corpus"):
            if (value := getattr(self, name)) is not None:
                mask &= pc.equal(batch.column(name), value).to_numpy(zero_copy_only=False)
        if self.type is not None:
            types = batch.column("entities").flatten().field("type")
            has_type = np.zeros(batch.num_rows, bool)
            has_type[
                element_scores(batch, "entities")[0][pc.equal(types, self.type).to_numpy(zero_copy_only=False)]
            ] = True
            mask &= has_type
        if self.min_score is not None or self.max_score is not None:
            lowest = lowest_scores(batch)  # comparisons with NaN are false
            mask &= (lowest >= (self.min_score or 0.0)) & (
                lowest <= (1.0 if self.max_score is None else self.max_score)
            )
        return batch.filter(pa.array(mask))


def sample_rows(files: Iterable[str], row_filter: RowFilter, n: int, seed: int) -> tuple[list[dict], int]:
    """A sample of the rows that pass a filter.

    Args:
        files: filtered shards.
        row_filter: the conditions.
        n: rows to return, at most.
        seed: decides which rows.

    Returns:
        the rows, and how many rows pass the filter in all.
    """
    sample = BottomK(n)
    for batch in read_batches(files):
        passed = row_filter(batch)
        if passed.num_rows:
            sample.add(pa.table(passed), row_hashes(passed, seed))
    table = sample.result()
    return (table.to_pylist() if table else []), sample.seen


def row_hashes(batch: pa.RecordBatch, seed: int) -> np.ndarray:
    """A hash for each row, uint64 [rows].

    The pair hash is mixed once more, because ingest may have sampled the pairs with the smallest pair hashes.
    """
    hashes, ids = np.zeros(batch.num_rows, np.uint64), batch.column("pair_id").to_numpy()
    for (language, corpus), rows in group_masks(batch, "language", "corpus"):
        hashes[rows] = splitmix64(pair_hash(seed, corpus, language, ids[rows]))
    return hashes


def element_scores(batch: pa.RecordBatch, name: str) -> tuple[np.ndarray, np.ndarray]:
    """The row index and the score of each element of a list column, both [elements]."""
    lists = batch.column(name)
    rows = np.repeat(np.arange(len(lists)), np.diff(list_offsets(lists)))
    return rows, lists.flatten().field("score").to_numpy(zero_copy_only=False)


def lowest_scores(batch: pa.RecordBatch) -> np.ndarray:
    """The lowest score of each row, float64 [rows], NaN for a row without a score.

    Scores are rounded to four digits, as they are shown; so a stored 0.9 passes the limit 0.9.
    """
    lowest = np.full(batch.num_rows, np.inf)
    for name in ("entities", "projections"):
        rows, scores = element_scores(batch, name)
        np.minimum.at(lowest, rows, np.round(scores.astype(np.float64), 4))
    return np.where(np.isinf(lowest), np.nan, lowest)
