"""Choosing a language's training sentences from its judged shards.

Two streams over the files: the first reads four small columns and keeps, for each domain and for sentences with and
without entities, the smallest hashes; the second writes the rows at or below the thresholds found. Memory depends on
the sentences wanted, not on those there are. Who is chosen depends on seed, corpus and pair id alone, so neither the
cut into shards nor the order of files matters, and the same files give the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from xner_ray import schema
from xner_ray.config import DatasetConfig
from xner_ray.corpora.sampling import pair_hash
from xner_ray.errors import UserError
from xner_ray.projection.exclusions import Without
from xner_ray.projection.tokenize import export, unlabeled
from xner_ray.storage.atomic import replace_file
from xner_ray.text.sentence_keys import splitmix64

_SMALL = ["verdict", "domain", "corpus", "language", "pair_id"]
_ROW_GROUP = 4096
_KEPT = (schema.KEPT, schema.KEPT_NO_ENTITY)
Group = tuple[str, str]  # domain, verdict


def select(
    files: Sequence[str | Path], out: str | Path, config: DatasetConfig, seed: int, without: Without | None = None
) -> dict[str, Any]:
    """Choose sentences and write them with tokens and tags.

    Args:
        files: judged Parquet files (schema.JUDGED) of one target language.
        out: the Parquet file to write (schema.EXPORTED), atomically.
        config: of this language (`DatasetConfig.for_language`): how many sentences at most, and the share of them
            without entity, equal in all domains.
        seed: another seed, another choice.
        without: rows that are not to be chosen.

    Returns:
        sentences, with_entity, without_entity, available (sentences to choose from), entities,
        unlabeled (spans that took no word), domains {name: {with_entity, without_entity, empty_share}},
        notes (sentences for a reader).

    Raises:
        UserError: no file, or no sentence was kept.
        RuntimeError: a pair is there twice.
    """
    paths = sorted(str(f) for f in files)
    if not paths:
        raise UserError("no labeled shards to choose from", remedy="run the label stage first")
    assert not isinstance(config.corpora, dict), (
        "the config of one language, DatasetConfig.for_language, is wanted here"
    )
    source = _Candidates(ds.dataset(paths, format="parquet"), without or Without(), config.corpora)
    limits, summary = _plan(source, config, seed)
    if not summary["sentences"]:
        raise UserError(
            "no sentence with entities was kept, so there is nothing to train on",
            key="rules",
            remedy="look at the ledger for the reason; lower rules.min_*_score, read more pairs or other dataset.corpora",
        )
    counts: dict[str, int] = {}

    def write(path: Path) -> None:
        counts.update(_write(_chosen(source, limits, seed), path, config.quotes_inside_entity))
        if counts["sentences"] != summary["sentences"]:
            raise RuntimeError(
                f"{counts['sentences']} rows instead of {summary['sentences']}: the shards changed meanwhile"
            )

    replace_file(out, write)
    return summary | counts


@dataclass(frozen=True)
class _Candidates:
    """The rows that may be chosen; `corpora`: of these alone."""

    source: ds.Dataset
    without: Without
    corpora: Sequence[str] | None

    def batches(self, columns: list[str]) -> Iterator[pa.RecordBatch]:
        wanted = [*columns, *(x for x in ("source", "target") if self.without and x not in columns)]
        kept = pc.field("verdict").isin(_KEPT)
        if self.corpora is not None:
            kept &= pc.field("corpus").isin(self.corpora)
        for batch in self.source.to_batches(columns=wanted, filter=kept):
            yield self.without.leave(batch).select(columns)


@dataclass
class _Smallest:
    """The k smallest of a stream of hashes, and how many there were."""

    k: int
    seen: int = 0
    parts: list[np.ndarray] = field(default_factory=list)

    def add(self, hashes: np.ndarray) -> None:
        self.seen += len(hashes)
        self.parts.append(hashes)
        if sum(map(len, self.parts)) > 2 * self.k + 65536:
            self.parts = [self.sorted()]

    def sorted(self) -> np.ndarray:
        everything = np.concatenate([*self.parts, np.zeros(0, np.uint64)])
        if len(everything) > self.k:
            everything = np.partition(everything, self.k - 1)[: self.k]
        return np.sort(everything)


def _plan(source: _Candidates, config: DatasetConfig, seed: int) -> tuple[dict[Group, np.uint64], dict[str, Any]]:
    """Largest hash taken of each group, and the summary."""
    pools: dict[Group, _Smallest] = {}
    for batch in source.batches(_SMALL):
        for key, rows, hashes in _hashed(batch, seed):
            pools.setdefault(key, _Smallest(config.max_sentences)).add(hashes[rows])
    smallest = {key: pool.sorted() for key, pool in pools.items()}
    for (domain, _), values in smallest.items():
        if (values[1:] == values[:-1]).any():
            raise RuntimeError(
                f"a pair of domain `{domain}` is there twice: shards overlap, or files of two runs are mixed"
            )
    taken = _with_entity(smallest, config)
    wanted = _without_entity(taken, sorted({domain for domain, _ in smallest}), config)

    limits: dict[Group, np.uint64] = {}
    domains: dict[str, dict[str, Any]] = {}
    notes = []
    for domain, want in wanted.items():
        there = len(smallest.get((domain, schema.KEPT_NO_ENTITY), ()))
        full, empty = taken.get(domain, 0), min(want, there)
        for verdict, number in ((schema.KEPT, full), (schema.KEPT_NO_ENTITY, empty)):
            if number:
                limits[domain, verdict] = smallest[domain, verdict][number - 1]
        share = empty / (full + empty) if full + empty else 0.0
        domains[domain] = {"with_entity": full, "without_entity": empty, "empty_share": round(share, 4)}
        if empty < want:
            notes.append(
                f"{domain}: only {empty} of {want} sentences without entity are there, so their share is"
                f" {100 * share:.1f}% instead of {100 * config.no_entity_ratio:.1f}%"
            )
    total = {key: sum(row[key] for row in domains.values()) for key in ("with_entity", "without_entity")}
    available = sum(pool.seen for pool in pools.values())
    return limits, {
        "sentences": sum(total.values()),
        **total,
        "available": available,
        "domains": domains,
        "notes": notes,
    }


def _with_entity(smallest: dict[Group, np.ndarray], config: DatasetConfig) -> dict[str, int]:
    """How many sentences with entities each domain gives: the smallest hashes of all domains together."""
    pools = {domain: values for (domain, verdict), values in smallest.items() if verdict == schema.KEPT}
    number = config.max_sentences - round(config.max_sentences * config.no_entity_ratio)
    best = np.sort(np.concatenate([*pools.values(), np.zeros(0, np.uint64)]))[:number]
    return {d: int(np.searchsorted(v, best[-1], side="right")) if len(best) else 0 for d, v in pools.items()}


def _without_entity(taken: dict[str, int], domains: Sequence[str], config: DatasetConfig) -> dict[str, int]:
    """How many sentences without entity each domain should give: the same share of each, adding up within the cap."""
    share, cap = config.no_entity_ratio, round(config.max_sentences * config.no_entity_ratio)
    if share == 1:
        parts = {domain: cap / len(domains) for domain in domains}
        total = cap
    else:
        parts = {domain: taken.get(domain, 0) * share / (1 - share) for domain in domains}
        total = min(cap, round(sum(taken.values()) * share / (1 - share)))
    wanted = {domain: int(part) for domain, part in parts.items()}
    rest = sorted(domains, key=lambda d: (wanted[d] - parts[d], d))  # largest remainder first
    for domain in rest[: max(0, total - sum(wanted.values()))]:
        wanted[domain] += 1
    return wanted


def _hashed(batch: pa.RecordBatch, seed: int) -> Iterator[tuple[Group, np.ndarray, np.ndarray]]:
    """((domain, verdict), mask of its rows, hashes of all rows) for each such group of a batch."""
    hashes = np.zeros(batch.num_rows, np.uint64)
    ids = batch.column("pair_id").to_numpy()
    for (corpus, language), rows in groups(batch, "corpus", "language"):
        # Mixed once more: ingest took the smallest plain hashes, so those of a large corpus are small.
        hashes[rows] = splitmix64(pair_hash(seed, corpus, language, ids[rows]))
    for (domain, verdict), rows in groups(batch, "domain", "verdict"):
        yield (domain, verdict), rows, hashes


def groups(batch: pa.RecordBatch, *names: str) -> Iterator[tuple[tuple[str, ...], np.ndarray]]:
    """Distinct values of some string columns, with the mask of their rows."""
    columns = [batch.column(name).dictionary_encode() for name in names]
    codes = np.stack([c.indices.to_numpy() for c in columns])
    for key in np.unique(codes, axis=1).T:
        values = tuple(c.dictionary[int(k)].as_py() for c, k in zip(columns, key, strict=True))
        yield values, (codes == key[:, None]).all(axis=0)


def _chosen(source: _Candidates, limits: dict[Group, np.uint64], seed: int) -> Iterator[pa.Table]:
    """Chosen rows in the order of the files."""
    for batch in source.batches(schema.JUDGED.names):
        mask = np.zeros(batch.num_rows, bool)
        for key, rows, hashes in _hashed(batch, seed):
            if key in limits:
                mask |= rows & (hashes <= limits[key])
        if mask.any():
            yield pa.Table.from_batches([batch]).filter(pa.array(mask))


def _write(tables: Iterable[pa.Table], path: Path, quoted: Sequence[str]) -> dict[str, int]:
    """Write with fixed settings and row groups of a fixed size, so that equal rows make equal bytes."""
    counts = {"sentences": 0, "entities": 0, "unlabeled": 0}
    held: list[pa.Table] = []
    with pq.ParquetWriter(path, schema.EXPORTED, compression="zstd", compression_level=3, version="2.6") as writer:

        def flush(size: int) -> None:
            nonlocal held
            table = pa.concat_tables(held)
            while table.num_rows >= size:
                part = export(table.slice(0, _ROW_GROUP).combine_chunks(), quoted)
                counts["sentences"] += part.num_rows
                counts["entities"] += pc.sum(pc.list_value_length(part.column("spans"))).as_py()
                counts["unlabeled"] += unlabeled(part)
                writer.write_table(part, row_group_size=_ROW_GROUP)
                table = table.slice(_ROW_GROUP)
            held = [table]

        for table in tables:
            held.append(table)
            if sum(t.num_rows for t in held) >= _ROW_GROUP:
                flush(_ROW_GROUP)
        if held:
            flush(1)
    return counts
