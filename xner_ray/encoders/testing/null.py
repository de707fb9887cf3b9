"""An engine without a model: a hash of the token ids decides the labels, so equal rows get equal labels on every machine.

For system tests, and for benchmarks of everything except the forward pass. Text is really tokenized and queries are really
built. The results look like those of a model: about 1.7 entities a sentence, some without a projection and some with two.
It needs NumPy but no torch, so a worker starts in a second.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from xner_ray.encoders.engine_stats import EngineStats
from xner_ray.encoders.ragged import Ragged
from xner_ray.text.sentence_keys import splitmix64, unit_interval

VERSION = 1  # part of fingerprints: raise it when results change
MEAN_ENTITIES = 1.7  # of a sentence
FOUND_RATIO, TWICE_RATIO = 0.85, 0.05  # of queries with at least one projection, and with two


class NullEngine:
    """Implements `InferenceEngine`.

    Rows of one segment (`<s> A </s>`) get the probabilities of LABELS. Rows of two segments (`<s> A </s></s> B </s>`, with
    segment ids) get those of OUTSIDE and INSIDE.

    Args:
        word_starts: bool [vocabulary], tokens that start a word. Only they start entities.
    """

    LABELS: ClassVar = ["O", *(f"{b}-{kind}" for kind in ("PER", "ORG", "LOC", "MISC") for b in "BI")]
    max_length = 512

    def __init__(self, word_starts: np.ndarray) -> None:
        self.word_starts, self.stats = word_starts, EngineStats()

    def probabilities(self, ids: Ragged, segment_ids: Ragged | None = None) -> np.ndarray:
        """Label probabilities of every token: float32 [tokens, labels].

        The predicted label has a probability of 0.5 to 1; the others share the rest equally.
        """
        with self.stats.timed("forward"):
            return self._hashed_probabilities(ids, segment_ids)

    def _hashed_probabilities(self, ids: Ragged, segment_ids: Ragged | None) -> np.ndarray:
        self.stats.rows += len(ids)
        self.stats.tokens += len(ids.values)
        rows, values = ids.row_ids(), ids.values.astype(np.uint64)
        position = (np.arange(len(values)) - ids.offsets[rows]).astype(np.uint64)
        row_sum = np.add.reduceat(values, ids.offsets[:-1]) if len(ids) else values
        noise = _hash_to_unit(values * np.uint64(1021) + position + row_sum[rows] * np.uint64(7919))
        if segment_ids is None:
            starts = self.word_starts[ids.values]
            words = np.bincount(rows, starts, minlength=len(ids))
            label = np.where(starts & (noise * words[rows] < MEAN_ENTITIES), 1 + 2 * (ids.values % 4), 0)
            num_labels = len(self.LABELS)
        else:
            label, num_labels = _inside_labels(ids, segment_ids.values.astype(bool), rows, noise), 2
        confidence = (0.5 + 0.5 * noise).astype(np.float32)
        out = np.repeat(((1 - confidence) / (num_labels - 1))[:, None], num_labels, axis=1)
        out[np.arange(len(out)), label] = confidence
        return out


def _inside_labels(ids: Ragged, in_target: np.ndarray, rows: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """int64 [tokens]: 1 for the token of B with the lowest hash; for some rows two tokens, for others none."""
    if not len(ids):
        return np.zeros(0, np.int64)
    query = np.add.reduceat(np.where(in_target, 0, ids.values).astype(np.uint64), ids.offsets[:-1])
    key = (noise * 2**40).astype(np.uint64) + query[rows] * np.uint64(7919)
    cost = np.where(in_target, _hash_to_unit(key), 2.0)
    order = np.lexsort((cost, rows))
    draw = _hash_to_unit(query)
    num_inside = (draw < FOUND_RATIO).astype(np.int64) + (draw < TWICE_RATIO)
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order)) - ids.offsets[rows]
    return ((rank < num_inside[rows]) & in_target).astype(np.int64)


def _hash_to_unit(keys: np.ndarray) -> np.ndarray:
    """float64 in [0, 1) from uint64 keys."""
    mixed = splitmix64(keys)
    # VERSION 1 is defined without the last step of splitmix64 (`x ^ (x >> 31)`), so that step is undone.
    return unit_interval(mixed ^ (mixed >> np.uint64(31)) ^ (mixed >> np.uint64(62)))
