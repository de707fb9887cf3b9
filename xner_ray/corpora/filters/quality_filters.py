"""What makes a readable pair a bad one: each rule gives a score, and a threshold decides, one apart from the other.

As OpusFilter does, so that a threshold can be weighed against what is stored without reading the corpus again: scores
of every readable pair lie beside the shards, dropped ones included. A pair counts under the first rule that drops it.

The cheap rules take about 1 ms per MB of text; identifying the language takes 1.5 s, and is asked for.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from xner_ray.config import CleanConfig
from xner_ray.corpora.filters.language_id import language_scores

SCORES = pa.schema(
    [
        pa.field("identical", pa.float32()),  # 1: both sides are the same but for case, else 0
        pa.field("length_ratio", pa.float32()),  # >= 1, see `length_ratio`
        pa.field("source_language", pa.float32()),  # 0..1 that the side is in its language; null: not judged
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
    """Scores (schema SCORES) of cleaned text, one row a pair; language scores only where a rule asks for them."""
    source, target = (x.combine_chunks() if isinstance(x, pa.ChunkedArray) else x for x in (source, target))
    sides = [pa.nulls(len(source), pa.float32())] * 2
    if rules.min_language_score is not None:
        sides = [language_scores(x, code, languages) for x, code in zip((source, target), languages, strict=True)]
    first = [pa.array(x(source, target), pa.float32()) for x in (identical, length_ratio)]
    return pa.Table.from_arrays([*first, *sides], schema=SCORES)


def identical(source: pa.StringArray, target: pa.StringArray) -> np.ndarray:
    """1.0 where the sides are the same but for case: nothing was translated; float32."""
    # Few pairs have sides of one length: only they are lowered.
    same = pc.equal(pc.binary_length(source), pc.binary_length(target))
    rows = np.flatnonzero(same.to_numpy(zero_copy_only=False))
    lowered = [pc.utf8_lower(side.take(pa.array(rows))) for side in (source, target)]
    score = np.zeros(len(source), np.float32)
    score[rows] = pc.equal(*lowered).to_numpy(zero_copy_only=False)
    return score


def length_ratio(source: pa.StringArray, target: pa.StringArray) -> np.ndarray:
    """The longer side's length by the shorter's, float32, both plus `SMOOTHING`: "No." may be "Auf keinen Fall.".

    In UTF-8 bytes: a Chinese character says as much as three letters, and has three bytes. For Cyrillic, Greek or
    Arabic against Latin script a fair translation has 1.8 instead of 1.
    """
    a, b = (
        pc.binary_length(x).to_numpy(zero_copy_only=False).astype(np.float32) + SMOOTHING for x in (source, target)
    )
    return np.maximum(a, b) / np.minimum(a, b)


def decide(scores: pa.Table, rules: CleanConfig) -> np.ndarray:
    """Per row the index in `CLEANED` of the first rule that drops it, int8; -1 for a pair that stays."""
    decision = np.full(scores.num_rows, -1, np.int8)
    if rules.min_language_score is not None:
        lowest = pc.min_element_wise(scores["source_language"], scores["target_language"], skip_nulls=True)
        decision[pc.fill_null(pc.less(lowest, rules.min_language_score), False).to_numpy()] = 2
    if rules.max_length_ratio is not None:
        decision[pc.greater(scores["length_ratio"], rules.max_length_ratio).to_numpy()] = 1
    if rules.drop_identical:
        decision[pc.equal(scores["identical"], 1).to_numpy()] = 0
    return decision
