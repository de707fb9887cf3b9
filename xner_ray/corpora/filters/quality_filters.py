"""Quality filters: each gives a score to a readable pair, and a threshold of the config decides.

Scores and decisions are separate, as in OpusFilter. The scores of all readable pairs, dropped ones included, are stored
beside the shards, so a threshold can be chosen without reading the corpus again. A pair is counted under the first
filter that drops it. The cheap filters take about 1 ms per MB of text. Language identification takes 1.5 s and is off
by default.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from xner_ray.config import CleanConfig
from xner_ray.corpora.filters.language_id import language_scores

SCORES = pa.schema(
    [
        pa.field("identical", pa.float32()),  # 1: both sides are equal except for letter case, else 0
        pa.field("length_ratio", pa.float32()),  # >= 1, see `length_ratio`
        pa.field("source_language", pa.float32()),  # probability that the side is in its language; null: too short
        pa.field("target_language", pa.float32()),
    ]
)
SMOOTHING = 10  # bytes


def score_pairs(
    source: pa.ChunkedArray | pa.Array,
    target: pa.ChunkedArray | pa.Array,
    rules: CleanConfig,
    languages: tuple[str, str],
) -> pa.Table:
    """Scores of cleaned pairs.

    Args:
        source: string [n].
        target: string [n].
        rules: the filters. Language scores are computed only if `min_language_score` is set.
        languages: ISO 639-1 of both sides.

    Returns:
        n rows of schema SCORES.
    """
    source, target = (x.combine_chunks() if isinstance(x, pa.ChunkedArray) else x for x in (source, target))
    sides = [pa.nulls(len(source), pa.float32())] * 2
    if rules.min_language_score is not None:
        sides = [language_scores(x, code, languages) for x, code in zip((source, target), languages, strict=True)]
    first = [pa.array(x(source, target), pa.float32()) for x in (identical, length_ratio)]
    return pa.Table.from_arrays([*first, *sides], schema=SCORES)


def identical(source: pa.StringArray, target: pa.StringArray) -> np.ndarray:
    """float32 [n]: 1 where the sides are equal except for letter case, so nothing was translated; else 0."""
    # Only the few pairs with sides of equal length are compared.
    same = pc.equal(pc.binary_length(source), pc.binary_length(target))
    rows = np.flatnonzero(same.to_numpy(zero_copy_only=False))
    lowered = [pc.utf8_lower(side.take(pa.array(rows))) for side in (source, target)]
    score = np.zeros(len(source), np.float32)
    score[rows] = pc.equal(*lowered).to_numpy(zero_copy_only=False)
    return score


def length_ratio(source: pa.StringArray, target: pa.StringArray) -> np.ndarray:
    """float32 [n]: length of the longer side divided by that of the shorter one, both plus `SMOOTHING`.

    Lengths are in UTF-8 bytes, because a Chinese character means about as much as three letters and has three bytes. A good
    translation from Cyrillic, Greek or Arabic into Latin script has a ratio of 1.8 instead of 1. `SMOOTHING` allows short
    sentences of different lengths, like "No." and "Auf keinen Fall.".
    """
    a, b = (
        pc.binary_length(x).to_numpy(zero_copy_only=False).astype(np.float32) + SMOOTHING for x in (source, target)
    )
    return np.maximum(a, b) / np.minimum(a, b)


def decide(scores: pa.Table, rules: CleanConfig) -> np.ndarray:
    """int8 [n]: index in `QUALITY_FILTERS` of the first filter that drops the pair; -1: the pair is kept."""
    decision = np.full(scores.num_rows, -1, np.int8)
    if rules.min_language_score is not None:
        lowest = pc.min_element_wise(scores["source_language"], scores["target_language"], skip_nulls=True)
        decision[pc.fill_null(pc.less(lowest, rules.min_language_score), False).to_numpy()] = 2
    if rules.max_length_ratio is not None:
        decision[pc.greater(scores["length_ratio"], rules.max_length_ratio).to_numpy()] = 1
    if rules.drop_identical:
        decision[pc.equal(scores["identical"], 1).to_numpy()] = 0
    return decision
