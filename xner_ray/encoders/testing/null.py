"""An engine without a model: it makes its answers up from the token ids, the same ones everywhere and at once.

For system tests and for measuring all that is not a forward pass: text is really tokenized, questions are really built, and
what comes out has the shape of real results, about 1.7 entities a pair, some of which have no projection and some several.
NumPy alone, no torch, so a worker starts in a second.
"""

from __future__ import annotations

from typing import ClassVar, Protocol

import numpy as np

from xner_ray.encoders.engine_stats import Counts
from xner_ray.encoders.ragged import Ragged

VERSION = 1
TAGGED = 1.7  # entities of a sentence, in the mean
FOUND, TWICE = 0.85, 0.05  # shares of questions that have an answer, and that have two


class Answers(Protocol):
    """What tagger and projector need of an engine; `engine.Engine` says what the methods mean."""

    max_length: int
    counts: Counts

    def probabilities(self, ids: Ragged, types: Ragged | None = None) -> np.ndarray: ...


class NullEngine:
    """Answers of rows `<s> A </s>` are labels, those of rows `<s> A </s></s> B </s>` (with segment ids) OUTSIDE and INSIDE.

    Args:
        begins: bool [vocabulary], the tokens that begin a word: only they are entities.
    """

    LABELS: ClassVar = ["O", *(f"{b}-{kind}" for kind in ("PER", "ORG", "LOC", "MISC") for b in "BI")]
    max_length = 512

    def __init__(self, begins: np.ndarray) -> None:
        self.begins, self.counts = begins, Counts()

    def probabilities(self, ids: Ragged, types: Ragged | None = None) -> np.ndarray:
        """float32 [tokens, labels]: the one answer has 0.5 to 1, the others share the rest."""
        with self.counts.timed("forward"):
            return self._made_up(ids, types)

    def _made_up(self, ids: Ragged, types: Ragged | None) -> np.ndarray:
        self.counts.rows += len(ids)
        self.counts.tokens += len(ids.values)
        rows, values = ids.row_of(), ids.values.astype(np.uint64)
        place = (np.arange(len(values)) - ids.offsets[rows]).astype(np.uint64)
        whole = np.add.reduceat(values, ids.offsets[:-1]) if len(ids) else values
        noise = _noise(values * np.uint64(1021) + place + whole[rows] * np.uint64(7919))
        if types is None:
            begins = self.begins[ids.values]
            words = np.bincount(rows, begins, minlength=len(ids))
            answer = np.where(begins & (noise * words[rows] < TAGGED), 1 + 2 * (ids.values % 4), 0)
            width = len(self.LABELS)
        else:
            answer, width = _inside(ids, types.values.astype(bool), rows, noise), 2
        sure = (0.5 + 0.5 * noise).astype(np.float32)
        out = np.repeat(((1 - sure) / (width - 1))[:, None], width, axis=1)
        out[np.arange(len(out)), answer] = sure
        return out


def _inside(ids: Ragged, target: np.ndarray, rows: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """1 for the token of B that fits A's name best, of some names two, of others none."""
    if not len(ids):
        return np.zeros(0, np.int64)
    name = np.add.reduceat(np.where(target, 0, ids.values).astype(np.uint64), ids.offsets[:-1])
    fit = np.where(target, _noise((noise * 2**40).astype(np.uint64) + name[rows] * np.uint64(7919)), 2.0)
    order = np.lexsort((fit, rows))
    luck = _noise(name)
    wanted = (luck < FOUND).astype(np.int64) + (luck < TWICE)
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order)) - ids.offsets[rows]
    return ((rank < wanted[rows]) & target).astype(np.int64)


def _noise(keys: np.ndarray) -> np.ndarray:
    """float64 in [0, 1) from uint64 keys: the finalizer of splitmix64."""
    x = keys + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (x >> np.uint64(11)).astype(np.float64) / 2.0**53
