"""The best window of target words for each entity mention, by both aligners at once.

The similarity reads both sentences and each mention in its place; the trained aligner reads the name and the target sentence,
and has learned which words belong to a name. Both give each target word a probability, and these are mixed before spans are
chosen. So the aligners need not agree on a span: a word that one of them misses is in the span if the other one is sure. The
score of a window is the F1 of recall (the part of the mention that the window translates) and precision (the mean probability
of its words). It is high where both aligners agree.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xner_ray.encoders.ragged import Ragged

MAX_SPAN_WORDS = 24
MAX_SPAN_CHARACTERS = 96  # of languages without spaces, where each character is a word, also those of Latin names
MIN_SCORE = 0.2  # below this score the target most often lacks the name
RECALL_WEIGHT = 1.2  # beta of F1: a missing word costs more than one too many


@dataclass(frozen=True)
class WordMass:
    """Alignment of mentions with the words of their targets, one row of words for each mention.

    Attributes:
        recall: float32, the part of the mention that the word translates. A row sums to 1 at most. A row of zeros: the
            similarity says nothing about the mention.
        precision: float32, 0 to 1, the probability that the word translates a part of the mention.
    """

    recall: Ragged
    precision: Ragged


def has_recall(mass: WordMass) -> np.ndarray:
    """Whether the similarity says something about the mention: bool [mentions]."""
    recall = mass.recall
    return np.bincount(recall.row_ids(), weights=recall.values, minlength=len(recall)) > 0


def mix(mass: WordMass, aligner: Ragged, weight: float) -> WordMass:
    """Mix the similarity with the word probabilities of the trained aligner.

    Args:
        mass: of the similarity. Mentions without recall get the probabilities of the aligner alone.
        aligner: float [words of the targets of all mentions], probability that the word belongs to the entity.
        weight: of the aligner, 0 to 1.
    """
    weights = np.repeat(np.where(has_recall(mass), weight, 1.0), mass.recall.lengths)
    recall, precision = mass.recall, mass.precision
    total = np.bincount(recall.row_ids(), weights=aligner.values, minlength=len(recall))
    # Probabilities of less than one word in all say that the target lacks the name.
    share = aligner.values / np.repeat(np.maximum(1.0, total), recall.lengths)
    return WordMass(
        Ragged((1 - weights) * recall.values + weights * share, recall.offsets),
        Ragged((1 - weights) * precision.values + weights * aligner.values, precision.offsets),
    )


def name_windows(mass: WordMass, uses_spaces: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`best_windows` of names. A window beyond the limit has the score 0, because a shorter one would cut the name.

    Args:
        mass: alignment of the mentions.
        uses_spaces: whether the target language separates words by spaces.
    """
    max_words = MAX_SPAN_WORDS if uses_spaces else MAX_SPAN_CHARACTERS
    first, last, scores = best_windows(mass, max_words + 1)
    return first, last, np.where(last - first > max_words, np.float32(0), scores)


def best_windows(mass: WordMass, max_words: int = MAX_SPAN_WORDS) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The window of words with the best score for each mention; the first and shortest of equals.

    Args:
        mass: alignment of the mentions.
        max_words: longest window.

    Returns:
        first, last: int64 [mentions], word numbers within the target, the last one exclusive. Equal without words.
        scores: float32 [mentions], 0 to 1.
    """
    offsets, lengths = mass.recall.offsets, mass.recall.lengths
    recall, precision = (np.concatenate([[0.0], np.cumsum(m.values)]) for m in (mass.recall, mass.precision))
    starts, row_ids = np.arange(len(mass.recall.values)), mass.recall.row_ids()
    rest = offsets[1:][row_ids] - starts  # words from the start to the end of the row
    best, best_words = np.zeros(len(starts)), np.ones(len(starts), np.int64)
    begin = starts
    for words in range(1, min(max_words, int(lengths.max(initial=0))) + 1):
        begin = begin[rest[begin] >= words]
        last = begin + words
        score = _score(recall[last] - recall[begin], (precision[last] - precision[begin]) / words)
        # The sums run over all rows, so their last digits depend on other rows.
        score = np.round(score, 6)
        is_better = score > best[begin]
        best[begin[is_better]], best_words[begin[is_better]] = score[is_better], words
    filled = np.flatnonzero(lengths)
    order = np.lexsort((starts, -best, row_ids))
    chosen = order[offsets[:-1][filled]]
    first, last, scores = np.zeros(len(lengths), np.int64), np.zeros(len(lengths), np.int64), np.zeros(len(lengths))
    first[filled] = chosen - offsets[:-1][filled]
    last[filled] = first[filled] + best_words[chosen]
    scores[filled] = np.clip(best[chosen], 0.0, 1.0)
    return first, last, scores.astype(np.float32)


def window_means(values: Ragged, rows: np.ndarray, first: np.ndarray, last: np.ndarray) -> np.ndarray:
    """Mean of the values of windows, float64 [windows].

    Args:
        values: one row of words for each mention.
        rows: int64 [windows], the mention.
        first, last: int64 [windows], word numbers within the row, the last one exclusive.
    """
    return _sums(values, rows, first, last) / np.maximum(1, last - first)


def window_scores(mass: WordMass, rows: np.ndarray, first: np.ndarray, last: np.ndarray) -> np.ndarray:
    """Scores of given windows, float64 [windows]. Arguments as in `window_means`."""
    precision = window_means(mass.precision, rows, first, last)
    return np.clip(_score(_sums(mass.recall, rows, first, last), precision), 0.0, 1.0)


def _sums(values: Ragged, rows: np.ndarray, first: np.ndarray, last: np.ndarray) -> np.ndarray:
    total, offsets = np.concatenate([[0.0], np.cumsum(values.values, dtype=np.float64)]), values.offsets[rows]
    return total[offsets + last] - total[offsets + first]


def _score(recall: np.ndarray, precision: np.ndarray) -> np.ndarray:
    """F-score with weight RECALL_WEIGHT of recall; 0 where both are 0."""
    beta = RECALL_WEIGHT**2
    return (1 + beta) * recall * precision / np.maximum(1e-9, recall + beta * precision)
