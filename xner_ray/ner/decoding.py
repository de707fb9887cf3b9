"""Decodes label probabilities to entities, for all texts of a shard at once."""

from __future__ import annotations

import numpy as np

from xner_ray.ner.entity_spans import EntitySpans
from xner_ray.ner.token_labels import continuation_labels
from xner_ray.ner.word_spans import WordSpans


def decode_word_labels(
    probabilities: np.ndarray, subwords: np.ndarray, labels: list[str]
) -> tuple[np.ndarray, np.ndarray]:
    """The most probable label of each word.

    A word takes the label of its first subword. If the word before it has the same subword, the word continues the entity:
    B- becomes I-.

    Args:
        probabilities: float32 [tokens, labels].
        subwords: int64 [words], the token of each word's first subword, or -1 if it has none (see `first_subwords`).
        labels: O, B-X, I-X, ... in the order of their ids.

    Returns:
        label_ids: int64 [words], 0 (O) for a word without a subword.
        scores: float32 [words], the labels' probabilities; 1 for a word without a subword.
    """
    best = probabilities.argmax(axis=1) if len(probabilities) else np.zeros(1, np.int64)
    score = probabilities.max(axis=1) if len(probabilities) else np.ones(1, np.float32)
    label_ids = np.where(subwords >= 0, best[np.maximum(subwords, 0)], 0)
    scores = np.where(subwords >= 0, score[np.maximum(subwords, 0)], 1.0).astype(np.float32)
    shared = np.zeros(len(subwords), bool)
    shared[1:] = (subwords[1:] == subwords[:-1]) & (subwords[1:] >= 0)
    return np.where(shared, continuation_labels(labels)[label_ids], label_ids), scores


def decode_entities(label_ids: np.ndarray, scores: np.ndarray, words: WordSpans, labels: list[str]) -> EntitySpans:
    """Entities from the labels of words. An I- that continues no entity of its type starts one.

    Args:
        label_ids: int [words].
        scores: float [words], 0..1, the probability of each label.
        words: the words; `words` may also be the tokens of texts.
        labels: O, B-X, I-X, ... in the order of their ids; O is the first.

    Returns:
        The entities; a score is the mean over the words, rounded to 4 decimals.
    """
    types = np.array([label[2:] for label in labels])
    is_begin = np.array([label.startswith("B-") for label in labels])[label_ids]
    outside = label_ids == 0
    rows = words.rows
    changed = np.ones(len(label_ids), bool)  # a new text, or another type than the word before
    if len(label_ids) > 1:
        changed[1:] = (rows[1:] != rows[:-1]) | (types[label_ids[1:]] != types[label_ids[:-1]]) | outside[:-1]
    first = np.flatnonzero(~outside & (is_begin | changed))
    # An entity ends before the next word that does not continue it.
    breaks = np.flatnonzero(outside | is_begin | changed)
    end = np.append(breaks, len(label_ids))[np.searchsorted(breaks, first, side="right")]
    total = np.concatenate([[0.0], np.cumsum(scores, dtype=np.float64)])
    mean = (total[end] - total[first]) / np.maximum(1, end - first)
    return EntitySpans(
        rows=rows[first],
        starts=words.starts[first],
        ends=words.ends[end - 1] if len(first) else words.ends[:0],
        first_words=first,
        last_words=end - 1,
        types=types[label_ids[first]],
        scores=np.round(mean, 4).astype(np.float32),
    )
