"""64-bit keys of sentences that are equal where their letters and digits are: for splits, and to tell copies."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


def text_keys(texts: pa.Array | pa.ChunkedArray, seed: int = 0) -> np.ndarray:
    """64-bit hashes (uint64) of texts, equal where letters and digits are."""
    from pandas.util import hash_array

    plain = pc.replace_substring_regex(pc.utf8_lower(texts), r"[^\pL\pN]+", "")
    return hash_array(plain.to_numpy(zero_copy_only=False), hash_key=f"{seed % 16**16:016x}", categorize=False)
