"""Kept rows that must not be trained on: pairs that no corpus has any more, and held-out sentences.

Both are sets of 64-bit keys, because shards never change: 8 bytes for each such row. A held-out sentence is identified by its
target side alone, so it is excluded with any source side.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from xner_ray.text.sentence_keys import pair_keys, target_keys


def _no_keys() -> np.ndarray:
    return np.zeros(0, np.uint64)


@dataclass(frozen=True)
class Exclusions:
    """Rows that are excluded from training.

    Attributes:
        withdrawn: uint64, keys of pairs (`sentence_keys.pair_keys`).
        held_out: uint64, keys of target sides (`sentence_keys.target_keys`).
    """

    withdrawn: np.ndarray = field(default_factory=_no_keys)
    held_out: np.ndarray = field(default_factory=_no_keys)

    def __bool__(self) -> bool:
        return bool(len(self.withdrawn) or len(self.held_out))

    def remove_from(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Return the rows of a batch with the columns `source` and `target` that are not excluded."""
        if not self or not batch.num_rows:
            return batch
        source, target = batch.column("source"), batch.column("target")
        excluded = np.isin(pair_keys(source, target), self.withdrawn) | np.isin(target_keys(target), self.held_out)
        return batch.filter(pa.array(~excluded)) if excluded.any() else batch

    def hashes(self) -> dict[str, str]:
        """SHA-256 of each set that is not empty, for fingerprints."""
        sets = {"withdrawn": self.withdrawn, "held_out": self.held_out}
        return {name: hashlib.sha256(np.sort(keys).tobytes()).hexdigest() for name, keys in sets.items() if len(keys)}
