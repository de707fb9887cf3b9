"""Train, validation and test splits by a hash of the sentence. They are the same on every machine, and when data is added.

Sentences that differ only in letter case, spaces and punctuation are in the same split, so no test sentence is in the training
split. Cost: the shares are met on average only.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from xner_ray.errors import UserError
from xner_ray.text.sentence_keys import text_keys, unit_interval

SPLITS = ("train", "validation", "test")


def assign_splits(texts: pa.Array | pa.ChunkedArray, seed: int, shares: Mapping[str, float]) -> np.ndarray:
    """Return the split of each text.

    Args:
        texts: strings [texts].
        seed: another seed assigns the texts to other splits.
        shares: the share of each split in SPLITS, see `parse_shares`.

    Returns:
        int64 [texts], indices into SPLITS.
    """
    edges = np.cumsum([shares.get(name, 0.0) for name in SPLITS])
    position = unit_interval(text_keys(texts, seed=seed))
    return np.minimum(np.searchsorted(edges, position, side="right"), len(SPLITS) - 1)


def parse_shares(text: str) -> dict[str, float]:
    """Parse `0.8,0.1,0.1` as the shares of train, validation and test. `1` puts all sentences into train.

    Raises:
        UserError: not numbers, more than three, negative, or their sum is not 1.
    """
    remedy = "write e.g. 0.8,0.1,0.1: the shares of train, validation and test"
    try:
        numbers = [float(x) for x in text.split(",")]
    except ValueError:
        raise UserError(f"`{text}` is not a list of shares", key="--split", remedy=remedy) from None
    if len(numbers) > len(SPLITS) or min(numbers) < 0 or abs(sum(numbers) - 1) > 1e-9:
        raise UserError(f"`{text}` does not add up to 1", key="--split", remedy=remedy)
    return dict(zip(SPLITS, numbers, strict=False))
