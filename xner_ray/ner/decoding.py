"""Decodes label probabilities to entities, for all texts of a shard at once."""

from __future__ import annotations

import numpy as np

from xner_ray.ner.entity_spans import EntitySpans
from xner_ray.ner.token_labels import continuation_labels
from xner_ray.ner.word_spans import WordSpans


def decode_word_labels(
    probabilities: np.ndarray, subwords: np.ndarray, rows: np.ndarray, labels: list[str]
) -> tuple[np.ndarray, np.ndarray]:
    """The most probable label of each word.

    A word takes the label of its first subword. If the word before it has the same subword, the word continues the entity:
    B- becomes I-. A word without a subword, such as a zero-width space, continues the entity of the words around it.

    Args:
        probabilities: float32 [tokens, labels].
        subwords: int64 [words], the token of each word's first subword, or -1 if it has none (see `first_subwords`).
        rows: int [words], the text of each word.
        labels: O, B-X, I-X, ... in the order of their ids.

    Returns:
        label_ids: int64 [words], 0 (O) for a word without a subword that is not inside an entity.
        scores: float32 [words], the labels' probabilities. A word without a subword has the score of the word before it inside
            an entity, else 1.
    """
    best = probabilities.argmax(axis=1) if len(probabilities) else np.zeros(1, np.int64)
    score = probabilities.max(axis=1) if len(probabilities) else np.ones(1, np.float32)
    label_ids = np.where(subwords >= 0, best[np.maximum(subwords, 0)], 0)
    scores = np.where(subwords >= 0, score[np.maximum(subwords, 0)], 1.0).astype(np.float32)
    shared = np.zeros(len(subwords), bool)
    shared[1:] = (subwords[1:] == subwords[:-1]) & (subwords[1:] >= 0)
    label_ids = np.where(shared, continuation_labels(labels)[label_ids], label_ids)
    _fill_entities(label_ids, scores, subwords >= 0, rows, labels)
    return label_ids, scores


def _fill_entities(
    label_ids: np.ndarray, scores: np.ndarray, has_subword: np.ndarray, rows: np.ndarray, labels: list[str]
) -> None:
    """Give words without a subword, in place, the label of the next word if that continues the entity of the one before."""
    bare = np.flatnonzero(~has_subword)
    if not len(bare) or len(bare) == len(label_ids):
        return
    index = np.flatnonzero(has_subword)
    at = np.searchsorted(index, bare)
    before, after = index[np.maximum(at - 1, 0)], index[np.minimum(at, len(index) - 1)]
    types = np.array([label[2:] for label in labels])
    is_inside = np.array([label.startswith("I-") for label in labels])
    inside = (rows[before] == rows[bare]) & (rows[after] == rows[bare]) & (before < bare) & (bare < after)
    inside &= is_inside[label_ids[after]] & (types[label_ids[before]] == types[label_ids[after]])
    filled, before, after = bare[inside], before[inside], after[inside]
    label_ids[filled], scores[filled] = label_ids[after], scores[before]


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
