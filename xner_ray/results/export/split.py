"""Train, validation and test by a hash of the sentence: the same on every machine, and the same when data is added.

Equal sentences (letter case, spaces and punctuation aside) land in the same split, so that no test sentence was trained on.
The price is that shares are met on average only.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from xner_ray.errors import UserError
from xner_ray.text.sentence_keys import text_keys

SPLITS = ("train", "validation", "test")


def assign(texts: pa.Array | pa.ChunkedArray, seed: int, shares: Mapping[str, float]) -> np.ndarray:
    """The split of each text.

    Args:
        texts: strings.
        seed: another seed, another division.
        shares: of each split in SPLITS, see `parse_shares`.

    Returns:
        int64 [texts], indices into SPLITS.
    """
    edges = np.cumsum([shares.get(name, 0.0) for name in SPLITS])
    place = (text_keys(texts, seed) >> np.uint64(11)) / 2.0**53  # exact, and below 1
    return np.minimum(np.searchsorted(edges, place, side="right"), len(SPLITS) - 1)


def parse_shares(text: str) -> dict[str, float]:
    """`0.8,0.1,0.1` as shares of train, validation and test; `1` is everything for training.

    Raises:
        UserError: not numbers, too many, or they do not add up to 1.
    """
    remedy = "write e.g. 0.8,0.1,0.1: the shares of train, validation and test"
    try:
        numbers = [float(x) for x in text.split(",")]
    except ValueError:
        raise UserError(f"`{text}` is no list of shares", key="--split", remedy=remedy) from None
    if len(numbers) > len(SPLITS) or min(numbers) < 0 or abs(sum(numbers) - 1) > 1e-9:
        raise UserError(f"`{text}` does not add up to 1", key="--split", remedy=remedy)
    return dict(zip(SPLITS, numbers, strict=False))
