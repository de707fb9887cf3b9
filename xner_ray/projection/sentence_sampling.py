"""The choice of a language's training sentences from its filtered shards.

The files are read twice. The first pass reads five small columns, and keeps the smallest hashes of each domain, with and without
entities. The second pass writes the rows up to the largest chosen hash. So memory depends on the number of chosen sentences and
not on the number of available ones. A sentence's hash depends on seed, corpus and pair id alone, so the division into shards and
the order of the files change nothing, and equal files give equal bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from xner_ray import schema
from xner_ray.config import DatasetConfig
from xner_ray.corpora.sampling import pair_hash
from xner_ray.errors import UserError
from xner_ray.projection.exclusions import Exclusions
from xner_ray.projection.tokenize import write_tokenized
from xner_ray.storage.atomic import replace_file
from xner_ray.text.arrow_kernels import group_masks
from xner_ray.text.sentence_keys import splitmix64

_HASHED_COLUMNS = ["verdict", "domain", "corpus", "language", "pair_id"]
_KEPT_VERDICTS = (schema.KEPT, schema.KEPT_NO_ENTITY)
Group = tuple[str, str]  # domain, verdict


def sample_sentences(
    files: Sequence[str | Path],
    out: str | Path,
    config: DatasetConfig,
    seed: int,
    exclusions: Exclusions | None = None,
) -> dict[str, Any]:
    """Choose sentences, and write them with tokens and tags.

    Args:
        files: filtered Parquet files (schema.FILTERED) of one target language.
        out: the Parquet file to write (schema.EXPORTED), atomically.
        config: of this language (`DatasetConfig.for_language`): the maximum number of sentences, and the fraction without
            entity, which is equal in all domains.
        seed: another seed gives another choice.
        exclusions: rows that are not chosen.

    Returns:
        sentences, with_entity, without_entity; available (sentences to choose from); entities; unlabeled (spans without a word);
        domains {name: {with_entity, without_entity, no_entity_ratio}}; notes (for the log).

    Raises:
        UserError: there is no file, or no sentence was kept.
        RuntimeError: a pair is in the files twice.
    """
    paths = sorted(str(f) for f in files)
    if not paths:
        raise UserError("no labeled shards to choose from", remedy="run the label stage first")
    if isinstance(config.corpora, dict):
        raise ValueError("the config of one language is needed, see DatasetConfig.for_language")
    rows = _KeptRows(ds.dataset(paths, format="parquet"), exclusions or Exclusions(), config.corpora)
    selection = _select(rows, config, seed)
    if not selection.summary["sentences"]:
        raise UserError(
            "no sentence with entities was kept, so there is nothing to train on",
            key="rules",
            remedy="look at the ledger for the reason; lower rules.min_*_score, read more pairs or other dataset.corpora",
        )
    counts: dict[str, int] = {}

    def write(path: Path) -> None:
        counts.update(write_tokenized(selection.tables(rows, seed), path, config.quotes_inside_entity))
        if counts["sentences"] != selection.summary["sentences"]:
            raise RuntimeError(
                f"{counts['sentences']} rows instead of {selection.summary['sentences']}: the shards changed meanwhile"
            )

    replace_file(out, write)
    return selection.summary | counts


@dataclass(frozen=True)
class _KeptRows:
    """Kept rows of filtered shards that are not excluded. `corpora`: only of these; None: of all."""

    source: ds.Dataset
    exclusions: Exclusions
    corpora: Sequence[str] | None

    def batches(self, columns: list[str]) -> Iterator[pa.RecordBatch]:
        texts = [c for c in ("source", "target") if self.exclusions and c not in columns]
        is_kept = pc.field("verdict").isin(_KEPT_VERDICTS)
        if self.corpora is not None:
            is_kept &= pc.field("corpus").isin(self.corpora)
        for batch in self.source.to_batches(columns=[*columns, *texts], filter=is_kept):
            yield self.exclusions.remove_from(batch).select(columns)


@dataclass
class _SmallestHashes:
    """The `max_hashes` smallest of a stream of hashes, and the number of all."""

    max_hashes: int
    num_seen: int = 0
    parts: list[np.ndarray] = field(default_factory=list)

    def add(self, hashes: np.ndarray) -> None:
        self.num_seen += len(hashes)
        self.parts.append(hashes)
        if sum(map(len, self.parts)) > 2 * self.max_hashes + 65536:
            self.parts = [self.sorted()]

    def sorted(self) -> np.ndarray:
        hashes = np.concatenate([*self.parts, np.zeros(0, np.uint64)])
        if len(hashes) > self.max_hashes:
            hashes = np.partition(hashes, self.max_hashes - 1)[: self.max_hashes]
        return np.sort(hashes)


@dataclass(frozen=True)
class _Selection:
    """The largest chosen hash of each group, and the summary of `sample_sentences`."""

    max_hashes: dict[Group, np.uint64]
    summary: dict[str, Any]

    def tables(self, rows: _KeptRows, seed: int) -> Iterator[pa.Table]:
        """The chosen rows in the order of the files."""
        for batch in rows.batches(schema.FILTERED.names):
            is_chosen = np.zeros(batch.num_rows, bool)
            for group, is_member, hashes in _hashed_groups(batch, seed):
                if group in self.max_hashes:
                    is_chosen |= is_member & (hashes <= self.max_hashes[group])
            if is_chosen.any():
                yield pa.Table.from_batches([batch]).filter(pa.array(is_chosen))


def _select(rows: _KeptRows, config: DatasetConfig, seed: int) -> _Selection:
    streams: dict[Group, _SmallestHashes] = {}
    for batch in rows.batches(_HASHED_COLUMNS):
        for group, is_member, hashes in _hashed_groups(batch, seed):
            streams.setdefault(group, _SmallestHashes(config.max_sentences)).add(hashes[is_member])
    smallest = {group: stream.sorted() for group, stream in streams.items()}
    for (domain, _), hashes in smallest.items():
        if (hashes[1:] == hashes[:-1]).any():
            raise RuntimeError(
                f"a pair of domain `{domain}` is there twice: shards overlap, or files of two runs are mixed"
            )
    with_entity = _quotas_with_entity(smallest, config)
    quotas = _quotas_without_entity(with_entity, sorted({domain for domain, _ in smallest}), config)

    max_hashes: dict[Group, np.uint64] = {}
    domains: dict[str, dict[str, Any]] = {}
    notes = []
    for domain, quota in quotas.items():
        num_with = with_entity.get(domain, 0)
        num_without = min(quota, len(smallest.get((domain, schema.KEPT_NO_ENTITY), ())))
        for verdict, number in ((schema.KEPT, num_with), (schema.KEPT_NO_ENTITY, num_without)):
            if number:
                max_hashes[domain, verdict] = smallest[domain, verdict][number - 1]
        ratio = num_without / (num_with + num_without) if num_with + num_without else 0.0
        domains[domain] = {
            "with_entity": num_with,
            "without_entity": num_without,
            "no_entity_ratio": round(ratio, 4),
        }
        if num_without < quota:
            notes.append(
                f"{domain}: only {num_without} of {quota} sentences without entity are available, so their ratio is"
                f" {100 * ratio:.1f}% instead of {100 * config.no_entity_ratio:.1f}%"
            )
    total = {key: sum(counts[key] for counts in domains.values()) for key in ("with_entity", "without_entity")}
    summary = {
        "sentences": sum(total.values()),
        **total,
        "available": sum(stream.num_seen for stream in streams.values()),
        "domains": domains,
        "notes": notes,
    }
    return _Selection(max_hashes, summary)


def _quotas_with_entity(smallest: dict[Group, np.ndarray], config: DatasetConfig) -> dict[str, int]:
    """Number of sentences with entities of each domain: those with the smallest hashes of all domains."""
    hashes_of = {domain: hashes for (domain, verdict), hashes in smallest.items() if verdict == schema.KEPT}
    number = config.max_sentences - round(config.max_sentences * config.no_entity_ratio)
    chosen = np.sort(np.concatenate([*hashes_of.values(), np.zeros(0, np.uint64)]))[:number]
    return {
        domain: int(np.searchsorted(hashes, chosen[-1], side="right")) if len(chosen) else 0
        for domain, hashes in hashes_of.items()
    }


def _quotas_without_entity(
    with_entity: dict[str, int], domains: Sequence[str], config: DatasetConfig
) -> dict[str, int]:
    """Number of sentences without entity that each domain should give: the same ratio in each, within the maximum."""
    ratio, maximum = config.no_entity_ratio, round(config.max_sentences * config.no_entity_ratio)
    if ratio == 1:
        exact = {domain: maximum / len(domains) for domain in domains}
        total = maximum
    else:
        exact = {domain: with_entity.get(domain, 0) * ratio / (1 - ratio) for domain in domains}
        total = min(maximum, round(sum(with_entity.values()) * ratio / (1 - ratio)))
    quotas = {domain: int(number) for domain, number in exact.items()}
    by_remainder = sorted(domains, key=lambda d: (quotas[d] - exact[d], d))  # largest remainder first
    for domain in by_remainder[: max(0, total - sum(quotas.values()))]:
        quotas[domain] += 1
    return quotas


def _hashed_groups(batch: pa.RecordBatch, seed: int) -> Iterator[tuple[Group, np.ndarray, np.ndarray]]:
    """Each (domain, verdict) of a batch, with the bool mask of its rows and the uint64 hashes of all rows."""
    hashes = np.zeros(batch.num_rows, np.uint64)
    pair_ids = batch.column("pair_id").to_numpy()
    for (corpus, language), rows in group_masks(batch, "corpus", "language"):
        # Ingest kept the smallest plain hashes, so the hashes of a large corpus are small. They are mixed once more here.
        hashes[rows] = splitmix64(pair_hash(seed, corpus, language, pair_ids[rows]))
    for (domain, verdict), rows in group_masks(batch, "domain", "verdict"):
        yield (domain, verdict), rows, hashes
