"""Choosing pairs: the same ones for a seed on every machine, in one pass, with memory for the sample alone.

A pair's place is a hash of (seed, corpus, language, pair_id), and the sample is the k pairs with the smallest hashes:
no state of a random generator, so neither chunk sizes nor the order of corpora change who is chosen, and a smaller
sample is a part of the larger one. The trade: up to 2k raw rows are held, since k is only known when all corpora have
been read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from xner_ray.text.sentence_keys import splitmix64


def pair_hash(seed: int, corpus: str, language: str, pair_id: np.ndarray) -> np.ndarray:
    """64-bit hashes (uint64) of pairs; within a corpus no two are equal.

    Finalizer of splitmix64 (Steele, Lea and Flood 2014), which is a bijection, keyed with blake2b of the rest.
    """
    digest = hashlib.blake2b(f"{seed}\0{corpus}\0{language}".encode(), digest_size=8).digest()
    key = np.uint64(int.from_bytes(digest, "little"))
    return splitmix64(splitmix64(pair_id.astype(np.uint64)) ^ key)


ROUNDING = 2  # a real-valued share never grows with another corpus; cutting it to whole pairs may add one, twice


def quotas(available: Mapping[str, int], total: int, weights: Mapping[str, int] | None = None) -> dict[str, int]:
    """Quotas by weight, equal without; what an exhausted corpus leaves is spread over the others.

    Adds up to min(total, all there is). What does not divide goes one each to the first corpora. A corpus appended to
    `available` raises the quota of another by no more than ROUNDING, so a sample may be trimmed while corpora are still
    being read.

    Args:
        available: pairs of each corpus.
        weights: positive, of each corpus.
    """
    weight = dict.fromkeys(available, 1) if weights is None else weights
    result = dict.fromkeys(available, 0)
    hungry = [name for name, count in available.items() if count > 0]
    left = total
    while hungry and left > 0:
        whole = sum(weight[name] for name in hungry)
        share = {name: left * weight[name] // whole for name in hungry}
        full = [name for name in hungry if available[name] <= share[name]]
        if not full:
            over = left - sum(share.values())
            for i, name in enumerate(hungry):
                result[name] = share[name] + (i < over)
            break
        for name in full:
            result[name] = available[name]
            left -= available[name]
        hungry = [name for name in hungry if available[name] > share[name]]
    return result


class BottomK:
    """The k rows with the smallest hashes of a stream of tables; holds fewer than 2k rows and one chunk."""

    def __init__(self, k: int):
        self.k = k
        self.seen = 0
        self._limit = np.uint64(2**64 - 1)  # hashes above it cannot be among the k any more
        self._hashes: list[np.ndarray] = []
        self._tables: list[pa.Table] = []

    def add(self, table: pa.Table, hashes: np.ndarray) -> None:
        """Rows and their hashes (uint64, one a row)."""
        self.seen += len(hashes)
        mask = hashes <= self._limit
        self._hashes.append(hashes[mask])
        self._tables.append(table.filter(pa.array(mask)))
        if sum(map(len, self._hashes)) > 2 * self.k:
            self.trim(self.k)

    def trim(self, k: int) -> None:
        """Keep k rows from now on; never more than before."""
        self.k = min(self.k, k)
        hashes = np.concatenate(self._hashes) if self._hashes else np.zeros(0, np.uint64)
        if len(hashes) <= self.k:
            return
        keep = np.sort(np.argpartition(hashes, self.k - 1)[: self.k]) if self.k else np.zeros(0, np.int64)
        self._limit = hashes[keep].max() if self.k else np.uint64(0)
        self._hashes = [hashes[keep]]
        self._tables = [pa.concat_tables(self._tables).take(pa.array(keep))]

    def result(self) -> pa.Table | None:
        """The rows in the order they came in; None when nothing was ever added."""
        self.trim(self.k)
        return pa.concat_tables(self._tables) if self._tables else None
