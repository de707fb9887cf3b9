"""Label probabilities to entities, for a whole shard at once."""

from __future__ import annotations

import numpy as np

from xner_ray.ner.token_labels import Words, inside_of


def word_labels(probabilities: np.ndarray, pieces: np.ndarray, labels: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """The best label of each word.

    Args:
        probabilities: float32 [pieces, labels].
        pieces: int64 [words], the deciding piece of each word, -1: none.
        labels: O, B-X, I-X, ...

    Returns:
        int64 [words] label ids (0 where there is no piece) and float32 [words] their probabilities. A word that shares its
        piece with the word before goes on inside the entity: B- becomes I-.
    """
    best = probabilities.argmax(axis=1) if len(probabilities) else np.zeros(1, np.int64)
    score = probabilities.max(axis=1) if len(probabilities) else np.ones(1, np.float32)
    ids = np.where(pieces >= 0, best[np.maximum(pieces, 0)], 0)
    scores = np.where(pieces >= 0, score[np.maximum(pieces, 0)], 1.0).astype(np.float32)
    again = np.zeros(len(pieces), bool)
    again[1:] = (pieces[1:] == pieces[:-1]) & (pieces[1:] >= 0)
    return np.where(again, inside_of(labels)[ids], ids), scores


def entities(ids: np.ndarray, scores: np.ndarray, words: Words, labels: list[str]) -> dict[str, np.ndarray]:
    """Entities of labeled words; an I- that continues nothing starts one.

    Returns:
        Arrays with one element an entity, in text order: `row`, `start`, `end` (characters), `first`, `last` (words,
        `last` inclusive), `type` (str), `score` (mean probability of its words).
    """
    kinds = np.array([label[2:] for label in labels])
    begins = np.array([label.startswith("B-") for label in labels])[ids]
    outside = ids == 0
    rows = words.rows
    changed = np.ones(len(ids), bool)
    if len(ids) > 1:
        changed[1:] = (rows[1:] != rows[:-1]) | (kinds[ids[1:]] != kinds[ids[:-1]]) | outside[:-1]
    starts = np.flatnonzero(~outside & (begins | changed))
    stop = outside | begins | changed  # a word that does not continue what lies before it
    after = np.flatnonzero(stop)
    ends = np.append(after, len(ids))[np.searchsorted(after, starts, side="right")]
    total = np.concatenate([[0.0], np.cumsum(scores, dtype=np.float64)])
    mean = (total[ends] - total[starts]) / np.maximum(1, ends - starts)
    return {
        "row": rows[starts],
        "start": words.starts[starts],
        "end": words.ends[ends - 1] if len(starts) else words.ends[:0],
        "first": starts,
        "last": ends - 1,
        "type": kinds[ids[starts]],
        "score": np.round(mean, 4).astype(np.float32),
    }
