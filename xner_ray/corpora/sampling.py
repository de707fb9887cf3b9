"""Sampling of pairs: deterministic for a seed on every machine, in one pass, with memory for the sample alone.

Each pair gets a hash of (seed, corpus, language, pair_id), and the sample consists of the k pairs with the smallest
hashes. There is no random generator whose state depends on the order of reading, so chunk sizes and the order of
corpora do not change the sample, and a smaller sample is a part of a larger one. Up to 2k raw rows of a corpus are held in
memory, because the quotas are known only when all corpora have been read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from xner_ray.text.sentence_keys import splitmix64


def pair_hash(seed: int, corpus: str, language: str, pair_id: np.ndarray) -> np.ndarray:
    """Hashes of pairs by their ids; within a corpus all are different.

    Args:
        seed: seed of the sample.
        corpus: name of the corpus.
        language: target language code.
        pair_id: int64 [n].

    Returns:
        uint64 [n]: the ids mixed by splitmix64 with a key, a blake2b hash of the other arguments.
    """
    digest = hashlib.blake2b(f"{seed}\0{corpus}\0{language}".encode(), digest_size=8).digest()
    key = np.uint64(int.from_bytes(digest, "little"))
    return splitmix64(splitmix64(pair_id.astype(np.uint64)) ^ key)


def quotas(available: Mapping[str, int], total: int, weights: Mapping[str, int] | None = None) -> dict[str, int]:
    """Distribute a number of pairs over corpora in proportion to their weights.

    What a corpus cannot fill is redistributed to the others. The quotas add up to min(total, all pairs). A remainder goes to the
    first corpora, one pair each. If another corpus is appended to `available`, no quota grows, except by the rounding to whole
    pairs: one pair, twice.

    Args:
        available: number of pairs of each corpus.
        total: pairs to distribute.
        weights: positive weight of each corpus; default: all equal.

    Returns:
        Pairs to take of each corpus.
    """
    weight = dict.fromkeys(available, 1) if weights is None else weights
    result = dict.fromkeys(available, 0)
    unfilled = [name for name, count in available.items() if count > 0]
    left = total
    while unfilled and left > 0:
        weight_sum = sum(weight[name] for name in unfilled)
        share = {name: left * weight[name] // weight_sum for name in unfilled}
        full = [name for name in unfilled if available[name] <= share[name]]
        if not full:
            remainder = left - sum(share.values())
            for i, name in enumerate(unfilled):
                result[name] = share[name] + (i < remainder)
            break
        for name in full:
            result[name] = available[name]
            left -= available[name]
        unfilled = [name for name in unfilled if available[name] > share[name]]
    return result


class BottomK:
    """The k rows with the smallest hashes of a stream of tables. Holds fewer than 2k rows and one chunk.

    Attributes:
        k: rows to keep.
        seen: rows added so far.
    """

    def __init__(self, k: int):
        self.k = k
        self.seen = 0
        self._limit = np.uint64(2**64 - 1)  # rows with larger hashes cannot be among the k any more
        self._hashes: list[np.ndarray] = []
        self._tables: list[pa.Table] = []

    def add(self, table: pa.Table, hashes: np.ndarray) -> None:
        """Add rows.

        Args:
            table: n rows; all tables have the same schema.
            hashes: uint64 [n].
        """
        self.seen += len(hashes)
        mask = hashes <= self._limit
        self._hashes.append(hashes[mask])
        self._tables.append(table.filter(pa.array(mask)))
        if sum(map(len, self._hashes)) > 2 * self.k:
            self.trim(self.k)

    def trim(self, k: int) -> None:
        """Reduce the number of rows to keep to k; a larger k changes nothing."""
        self.k = min(self.k, k)
        hashes = np.concatenate(self._hashes) if self._hashes else np.zeros(0, np.uint64)
        if len(hashes) <= self.k:
            return
        keep = np.sort(np.argpartition(hashes, self.k - 1)[: self.k]) if self.k else np.zeros(0, np.int64)
        self._limit = hashes[keep].max() if self.k else np.uint64(0)
        self._hashes = [hashes[keep]]
        self._tables = [pa.concat_tables(self._tables).take(pa.array(keep))]

    def result(self) -> pa.Table | None:
        """Return the rows in the order in which they were added; None if no table was added."""
        self.trim(self.k)
        return pa.concat_tables(self._tables) if self._tables else None
