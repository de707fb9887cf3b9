"""Judged rows that must not be trained on, though they were kept: what no corpus has any more, and what is held out.

Both are sets of 64-bit keys, since shards never change: 8 bytes for each such row, and a pass over the text of those that
could be chosen. A held-out sentence is known by its target side alone, so it stays out with any English beside it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from xner_ray.text.sentence_keys import pair_keys, target_keys


def _none() -> np.ndarray:
    return np.zeros(0, np.uint64)


@dataclass(frozen=True)
class Without:
    """`withdrawn`: keys of pairs (`sentence_keys.pair_keys`). `held_out`: keys of target sides (`target_keys`). Both uint64."""

    withdrawn: np.ndarray = field(default_factory=_none)
    held_out: np.ndarray = field(default_factory=_none)

    def __bool__(self) -> bool:
        return bool(len(self.withdrawn) or len(self.held_out))

    def leave(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The rows of a batch with `source` and `target` that may be chosen."""
        if not self or not batch.num_rows:
            return batch
        source, target = batch.column("source"), batch.column("target")
        out = np.isin(pair_keys(source, target), self.withdrawn) | np.isin(target_keys(target), self.held_out)
        return batch.filter(pa.array(~out)) if out.any() else batch

    def identity(self) -> dict[str, str]:
        """Hashes of what is left out, for fingerprints; nothing where nothing is."""
        parts = {"withdrawn": self.withdrawn, "held_out": self.held_out}
        return {k: hashlib.sha256(np.sort(v).tobytes()).hexdigest() for k, v in parts.items() if len(v)}
