"""The tasks of sentence sampling. Each one reads a few filtered shards: hashes of kept rows, or the rows that were chosen.

A sentence's hash depends on seed, corpus and pair id alone. So it does not matter which task reads a shard, and when.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from xner_ray import schema
from xner_ray.corpora.sampling import pair_hash
from xner_ray.projection.exclusions import Exclusions
from xner_ray.projection.tokenize import tokenize_table
from xner_ray.text.arrow_kernels import group_masks
from xner_ray.text.sentence_keys import splitmix64

Group = tuple[str, str]  # domain, verdict
OpenShard = Callable[[Any], pq.ParquetFile]
_HASHED_COLUMNS = ["verdict", "domain", "corpus", "language", "pair_id"]
_KEPT_VERDICTS = (schema.KEPT, schema.KEPT_NO_ENTITY)


def open_file(path: str | Path) -> pq.ParquetFile:
    """Open a shard that is a Parquet file."""
    return pq.ParquetFile(path)


@dataclass(frozen=True)
class KeptRows:
    """Kept rows of filtered shards that are not excluded.

    Attributes:
        open_shard: opens one of the shards that a task gets.
        seed: another seed gives other hashes.
        exclusions: rows that are not chosen.
        corpora: only rows of these; None: of all.
        domain_of: domain by corpus, in place of the rows' own; only rows of these corpora. None: the rows' own.
    """

    open_shard: OpenShard
    seed: int
    exclusions: Exclusions
    corpora: Sequence[str] | None
    domain_of: Mapping[str, str] | None = None

    def batch(self, file: pq.ParquetFile, columns: list[str]) -> pa.RecordBatch:
        """Return columns of the kept rows of a shard, in the order of the file."""
        texts = [c for c in ("source", "target") if self.exclusions and c not in columns]
        table = file.read(columns=[*columns, *texts])
        is_kept = pc.is_in(table["verdict"], value_set=pa.array(_KEPT_VERDICTS))
        for corpora in (self.corpora, self.domain_of):
            if corpora is not None:
                names = pa.array(list(corpora), pa.string())
                is_kept = pc.and_(is_kept, pc.is_in(table["corpus"], value_set=names))
        kept = table.filter(is_kept).combine_chunks().to_batches()
        batch = kept[0] if kept else pa.RecordBatch.from_pylist([], table.schema)
        return self.exclusions.remove_from(batch).select(columns)

    def groups(self, batch: pa.RecordBatch) -> Iterator[tuple[Group, np.ndarray, np.ndarray]]:
        """Yield each (domain, verdict) of a batch, with bool [rows], its rows, and uint64 [rows], the hashes of all rows."""
        if not batch.num_rows:
            return
        hashes = np.zeros(batch.num_rows, np.uint64)
        pair_ids = batch.column("pair_id").to_numpy()
        for (corpus, language), rows in group_masks(batch, "corpus", "language"):
            # Ingest kept the smallest plain hashes, so the hashes of a large corpus are small. They are mixed once more here.
            hashes[rows] = splitmix64(pair_hash(self.seed, corpus, language, pair_ids[rows]))
        for (domain, verdict), rows in group_masks(self._with_domains(batch), "domain", "verdict"):
            yield (domain, verdict), rows, hashes

    def _with_domains(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        if self.domain_of is None:
            return batch
        names = pa.array(list(self.domain_of), pa.string())
        domains = pa.array(list(self.domain_of.values()), pa.string())
        own = domains.take(pc.index_in(batch.column("corpus"), value_set=names))
        return pa.RecordBatch.from_arrays([own, batch.column("verdict")], names=["domain", "verdict"])


@dataclass(frozen=True)
class GroupHashes:
    """The rows of a group in some shards.

    Attributes:
        rows: number of rows.
        smallest: uint64 [n], hashes of the rows that can be chosen, in any order.
    """

    rows: int
    smallest: np.ndarray


def smallest_hashes(
    shards: Sequence[Any], *, rows: KeptRows, limits: Mapping[Group, np.uint64], max_hashes: int
) -> dict[Group, GroupHashes]:
    """Return the smallest hashes of each group in some shards.

    Args:
        shards: arguments of `rows.open_shard`.
        rows: the rows that can be chosen.
        limits: the largest hash of a group that is returned. A group without a limit has none.
        max_hashes: the maximum number of hashes of a group.
    """
    counts: dict[Group, int] = {}
    parts: dict[Group, list[np.ndarray]] = {}
    for shard in shards:
        for group, is_member, hashes in rows.groups(rows.batch(rows.open_shard(shard), _HASHED_COLUMNS)):
            own = hashes[is_member]
            counts[group] = counts.get(group, 0) + len(own)
            if group in limits:
                own = own[own <= limits[group]]
            parts.setdefault(group, []).append(own)
    return {group: GroupHashes(n, smallest(np.concatenate(parts[group]), max_hashes)) for group, n in counts.items()}


def smallest(hashes: np.ndarray, number: int) -> np.ndarray:
    """Return the `number` smallest of some hashes (uint64 [n]), in any order."""
    return np.partition(hashes, number - 1)[:number] if len(hashes) > number else hashes


def chosen_sentences(
    shards: Sequence[Any],
    *,
    rows: KeptRows,
    max_hashes: Mapping[Group, np.uint64],
    quotes_inside_entity: Sequence[str],
) -> pa.Table:
    """Return the chosen rows of some shards with tokens and tags.

    Args:
        shards: arguments of `rows.open_shard`. Of a shard without a chosen row, only the small columns are decoded.
        rows: the rows that can be chosen.
        max_hashes: the largest chosen hash of each group. Of a group that is missing, no row is chosen.
        quotes_inside_entity: see `tokenize_table`.

    Returns:
        schema.EXPORTED, in the order of the shards and of their rows.
    """
    tables = [schema.EXPORTED.empty_table()]
    for shard in shards:
        file = rows.open_shard(shard)
        if _is_chosen(rows, rows.batch(file, _HASHED_COLUMNS), max_hashes).any():
            batch = rows.batch(file, schema.FILTERED.names)
            table = pa.Table.from_batches([batch]).filter(pa.array(_is_chosen(rows, batch, max_hashes)))
            tables.append(tokenize_table(table, quotes_inside_entity))
    return pa.concat_tables(tables)


def _is_chosen(rows: KeptRows, batch: pa.RecordBatch, max_hashes: Mapping[Group, np.uint64]) -> np.ndarray:
    is_chosen = np.zeros(batch.num_rows, bool)
    for group, is_member, hashes in rows.groups(batch):
        if group in max_hashes:
            is_chosen |= is_member & (hashes <= max_hashes[group])
    return is_chosen
