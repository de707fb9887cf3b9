"""The choice of a language's training sentences from its filtered shards.

The sentences with the smallest hashes of each domain are chosen, with and without entities. The ledger says how many sentences
each group (domain, verdict) has. Hashes are uniform, so these counts give a limit below which the chosen hashes lie. Tasks
decode five small columns of each shard and return the hashes below the limit, a few more than are chosen. Then the largest chosen
hash of each group is known, and tasks decode and tokenize the chosen rows. `ShardStore.open` reads the whole file each time, to
compare its hash. This process holds hashes in proportion to `max_sentences`, and the rows of a few tasks.

A sentence's hash depends on seed, corpus and pair id alone. So the division into shards, the order of the files, the order of the
tasks and the counts change nothing, and equal files give equal bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from xner_ray import schema
from xner_ray.config import DatasetConfig
from xner_ray.corpora.generation import Mapper
from xner_ray.corpora.sampling import quotas as equal_quotas
from xner_ray.errors import UserError
from xner_ray.projection.exclusions import Exclusions
from xner_ray.projection.kept_rows import (
    Group,
    KeptRows,
    OpenShard,
    chosen_sentences,
    open_file,
    smallest,
    smallest_hashes,
)
from xner_ray.projection.tokenize import write_tokenized
from xner_ray.storage.atomic import replace_file

_SHARDS_PER_TASK = 16
_SENTENCES_PER_TASK = 20_000  # chosen ones, which pass through Ray's object store


def sample_sentences(
    shards: Sequence[Any],
    out: str | Path,
    config: DatasetConfig,
    seed: int,
    exclusions: Exclusions | None = None,
    *,
    counts: Mapping[Group, int] | None = None,
    open_shard: OpenShard = open_file,
    mapper: Mapper = map,
) -> dict[str, Any]:
    """Choose sentences, and write them with tokens and tags.

    Args:
        shards: filtered shards (schema.FILTERED) of one target language, in the order of the result: arguments of `open_shard`.
        out: the Parquet file to write (schema.EXPORTED), atomically.
        config: of this language (`DatasetConfig.for_language`): the maximum number of sentences, and the fraction without
            entity, which is equal in all domains.
        seed: another seed gives another choice.
        exclusions: rows that are not chosen.
        counts: the number of kept rows by domain and verdict, see `Ledger.kept`. They change the speed alone.
        open_shard: opens a shard. Default: shards are paths of Parquet files.
        mapper: runs the tasks, and yields their results in order.

    Returns:
        sentences, with_entity, without_entity; available (sentences to choose from); entities; unlabeled (spans without a word);
        domains {name: {with_entity, without_entity, no_entity_ratio}}; notes (for the log).

    Raises:
        UserError: there is no shard, a shard is damaged, or no sentence was kept.
        RuntimeError: a pair is in the shards twice.
    """
    if not shards:
        raise UserError("no labeled shards to choose from", remedy="run the label stage first")
    if isinstance(config.corpora, dict):
        raise ValueError("the config of one language is needed, see DatasetConfig.for_language")
    domain_of = {corpus: domain for domain, corpora in config.balanced_domains.items() for corpus in corpora}
    rows = KeptRows(open_shard, seed, exclusions or Exclusions(), config.corpora, domain_of or None)
    known = {} if domain_of else counts or {}  # the ledger counts the rows' own domains
    selection = _select(_read_hashes(shards, rows, config.max_sentences, known, mapper), config)
    if not selection.summary["sentences"]:
        raise UserError(
            "no sentence with entities was kept, so there is nothing to train on",
            key="rules",
            remedy="look at the ledger for the reason; lower rules.min_*_score, read more pairs or other dataset.corpora",
        )
    written: dict[str, int] = {}

    def write(path: Path) -> None:
        written.update(write_tokenized(selection.tables(shards, rows, config, mapper), path))
        if written["sentences"] != selection.summary["sentences"]:
            raise RuntimeError(
                f"{written['sentences']} rows instead of {selection.summary['sentences']}: the shards changed meanwhile"
            )

    replace_file(out, write)
    return selection.summary | written


@dataclass
class _SmallestHashes:
    """The `max_hashes` smallest of a stream of hashes, and the number of all rows."""

    max_hashes: int
    num_rows: int = 0
    num_hashes: int = 0
    parts: list[np.ndarray] = field(default_factory=list)
    num_held: int = 0

    def add(self, rows: int, hashes: np.ndarray) -> None:
        self.num_rows += rows
        self.num_hashes += len(hashes)
        self.parts.append(hashes)
        self.num_held += len(hashes)
        if self.num_held > 2 * self.max_hashes + 65536:
            self.parts = [self.sorted()]
            self.num_held = len(self.parts[0])

    @property
    def lacks_hashes(self) -> bool:
        return self.num_hashes < min(self.max_hashes, self.num_rows)

    def sorted(self) -> np.ndarray:
        return np.sort(smallest(np.concatenate([*self.parts, np.zeros(0, np.uint64)]), self.max_hashes))


def _read_hashes(
    shards: Sequence[Any], rows: KeptRows, number: int, counts: Mapping[Group, int], mapper: Mapper
) -> dict[Group, _SmallestHashes]:
    """The `number` smallest hashes of each group.

    If a limit was too low, as many rows are excluded, the shards are read again with the counts of the first reading.
    """
    for attempt in range(3):
        limits = {group: _limit(number, n) for group, n in counts.items()} if attempt < 2 else {}
        streams: dict[Group, _SmallestHashes] = {}
        task = partial(smallest_hashes, rows=rows, limits=limits, max_hashes=number)
        for found in mapper(task, _batches(shards, _SHARDS_PER_TASK)):
            for group, hashes in found.items():
                streams.setdefault(group, _SmallestHashes(number)).add(hashes.rows, hashes.smallest)
        if not any(stream.lacks_hashes for stream in streams.values()):
            break
        counts = {group: stream.num_rows for group, stream in streams.items()}
    return streams


def _limit(number: int, rows: int) -> np.uint64:
    """A limit above the `number` smallest of so many uniform hashes, unless they deviate by six standard deviations."""
    expected = number + 6 * number**0.5 + 64
    return np.uint64(2**64 - 1) if expected >= rows else np.uint64(int(expected / rows * 2**64))


def _batches(shards: Sequence[Any], size: int) -> list[Sequence[Any]]:
    return [shards[at : at + size] for at in range(0, len(shards), size)]


@dataclass(frozen=True)
class _Selection:
    """The largest chosen hash of each group, and the summary of `sample_sentences`."""

    max_hashes: dict[Group, np.uint64]
    summary: dict[str, Any]

    def tables(
        self, shards: Sequence[Any], rows: KeptRows, config: DatasetConfig, mapper: Mapper
    ) -> Iterable[pa.Table]:
        """The chosen rows with tokens, in the order of the shards."""
        task = partial(
            chosen_sentences,
            rows=rows,
            max_hashes=self.max_hashes,
            quotes_inside_entity=config.quotes_inside_entity,
        )
        size = _SENTENCES_PER_TASK * len(shards) // self.summary["sentences"]
        return mapper(task, _batches(shards, min(max(size, 1), _SHARDS_PER_TASK)))


def _select(streams: Mapping[Group, _SmallestHashes], config: DatasetConfig) -> _Selection:
    hashes_of = {group: stream.sorted() for group, stream in streams.items()}
    for (domain, _), hashes in hashes_of.items():
        if (hashes[1:] == hashes[:-1]).any():
            raise RuntimeError(
                f"a pair of domain `{domain}` is there twice: shards overlap, or files of two runs are mixed"
            )
    with_entity = _quotas_with_entity(hashes_of, config)
    quotas = _quotas_without_entity(with_entity, sorted({domain for domain, _ in hashes_of}), config)

    max_hashes: dict[Group, np.uint64] = {}
    domains: dict[str, dict[str, Any]] = {}
    notes = []
    for domain, quota in quotas.items():
        num_with = with_entity.get(domain, 0)
        num_without = min(quota, len(hashes_of.get((domain, schema.KEPT_NO_ENTITY), ())))
        for verdict, number in ((schema.KEPT, num_with), (schema.KEPT_NO_ENTITY, num_without)):
            if number:
                max_hashes[domain, verdict] = hashes_of[domain, verdict][number - 1]
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
        "available": sum(stream.num_rows for stream in streams.values()),
        "domains": domains,
        "notes": notes,
    }
    return _Selection(max_hashes, summary)


def _quotas_with_entity(groups: Mapping[Group, np.ndarray], config: DatasetConfig) -> dict[str, int]:
    """Number of sentences with entities of each domain: those with the smallest hashes of all domains, or equal numbers."""
    hashes_of = {domain: hashes for (domain, verdict), hashes in sorted(groups.items()) if verdict == schema.KEPT}
    number = config.max_sentences - round(config.max_sentences * config.no_entity_ratio)
    if config.balanced_domains:
        return equal_quotas({domain: len(hashes) for domain, hashes in hashes_of.items()}, number)
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
