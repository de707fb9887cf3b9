"""Decodes label probabilities to entities, for all texts of a shard at once."""

from __future__ import annotations

import numpy as np

from xner_ray.encoders.temperature import apply_temperature
from xner_ray.ner.entity_spans import EntitySpans
from xner_ray.ner.token_labels import begin_labels, continuation_labels
from xner_ray.ner.word_spans import WordSpans
from xner_ray.text.viterbi import continues, legal_sequences


def decode_word_labels(
    probabilities: np.ndarray,
    subwords: np.ndarray,
    rows: np.ndarray,
    labels: list[str],
    is_bio2: bool = True,
    temperature: float = 1.0,
) -> tuple[np.ndarray, np.ndarray]:
    """The most probable legal labels of words.

    A word takes the label of its first subword. If the word before it has the same subword, the word continues the entity:
    B- becomes I-. If an I- follows that continues no entity, its entity begins in that subword, at its last word. A word without
    a subword, such as a zero-width space, continues the entity of the words around it.

    Args:
        probabilities: float32 [tokens, labels], without a temperature.
        subwords: int64 [words], the token of each word's first subword, or -1 if it has none (see `first_subwords`).
        rows: int [words], the text of each word.
        labels: O, B-X, I-X, ... in the order of their ids.
        is_bio2: the model was trained on BIO2 tags, so each entity begins with B-. False: every word takes its most probable
            label. The labels of IOB1 and IO are read so, in which an I- may begin an entity.
        temperature: of the scores, see `encoders.temperature`. The labels do not depend on it.

    Returns:
        label_ids: int64 [words], 0 (O) for a word without a subword that is not inside an entity.
        scores: float32 [words], the labels' probabilities at the temperature. A word without a subword has the score of the word
            before it inside an entity, else 1.
    """
    label_ids, scores = np.zeros(len(subwords), np.int64), np.ones(len(subwords), np.float32)
    words = np.flatnonzero(subwords >= 0)
    is_first = np.ones(len(words), bool)  # of the words of one subword
    is_first[1:] = subwords[words[1:]] != subwords[words[:-1]]
    unit_of, first = np.cumsum(is_first) - 1, words[is_first]
    last = words[np.append(is_first[1:], True)] if len(words) else words
    scored, unit_rows = probabilities[subwords[first]], rows[first]
    if is_bio2:
        unit_labels = legal_sequences(scored, unit_rows, first < last, labels)
    else:
        unit_labels = scored.argmax(axis=1)
    # After the labels are chosen: at a low temperature small probabilities become 0, and sequences tie.
    scored = apply_temperature(scored, temperature)
    unit_scores = np.take_along_axis(scored, unit_labels[:, None], axis=1)[:, 0] if len(scored) else scores[:0]
    label_ids[words] = np.where(is_first, unit_labels[unit_of], continuation_labels(labels)[unit_labels[unit_of]])
    scores[words] = unit_scores[unit_of]
    if is_bio2:
        is_inside = np.array([label.startswith("I-") for label in labels])[unit_labels]
        begun = np.flatnonzero(is_inside & ~continues(unit_labels, unit_rows, labels))
        label_ids[last[begun - 1]] = begin_labels(labels)[unit_labels[begun]]
        scores[last[begun - 1]] = unit_scores[begun]
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
