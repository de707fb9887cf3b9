"""Labels of words are decoded to the same entities as by a slow loop."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from xner_ray.ner.decoding import decode_entities, decode_word_labels
from xner_ray.ner.word_spans import WordSpans
from xner_ray.text.tags import bio2_to_spans, label_list

LABELS = label_list(["LOC", "PER"])


def test_a_word_that_shares_its_subword_continues_the_entity():
    ids, scores = decode_word_labels(
        np.eye(5, dtype=np.float32)[[1, 0]], np.array([0, 0, 1]), np.zeros(3, int), LABELS
    )
    assert [LABELS[i] for i in ids] == ["B-LOC", "I-LOC", "O"]
    assert scores.tolist() == [1, 1, 1]


@given(
    st.lists(st.sampled_from(LABELS), min_size=1, max_size=8),
    st.lists(st.integers(0, 7), max_size=4),
    st.integers(0, 8),
)
def test_a_word_without_a_subword_does_not_cut_an_entity(tags, places, second_row):
    """The entities of the other words are those of a sentence without such words."""
    is_bare, rows = [], []
    for i in range(len(tags)):
        row = int(i >= second_row)
        is_bare += [True] * places.count(i) + [False]
        rows += [row] * (places.count(i) + 1)
    subwords = np.where(is_bare, -1, np.cumsum(~np.array(is_bare)) - 1)
    probabilities = np.eye(5, dtype=np.float32)[[LABELS.index(tag) for tag in tags]]

    def entities(subwords, rows):
        words = WordSpans.from_lists([[(i, i + 1) for i, r in enumerate(rows) if r == row] for row in (0, 1)])
        found = decode_entities(*decode_word_labels(probabilities, subwords, rows, LABELS), words, LABELS)
        kept = np.flatnonzero(subwords >= 0)
        return [
            (np.searchsorted(kept, a), np.searchsorted(kept, b), kind, score)
            for a, b, kind, score in zip(found.first_words, found.last_words, found.types, found.scores, strict=True)
        ]

    kept = np.array(rows)[~np.array(is_bare)]
    assert entities(subwords, np.array(rows)) == entities(np.arange(len(tags)), kept)


@given(st.lists(st.lists(st.sampled_from(LABELS), min_size=1, max_size=12), min_size=1, max_size=4))
def test_entities_equal_those_of_a_slow_loop(rows):
    ids = np.array([LABELS.index(t) for row in rows for t in row])
    words = WordSpans.from_lists([[(3 * i, 3 * i + 2) for i in range(len(row))] for row in rows])
    entities = decode_entities(ids, np.ones(len(ids), np.float32), words, LABELS)
    expected = [(r, 3 * a, 3 * b - 1, kind) for r, row in enumerate(rows) for a, b, kind in bio2_to_spans(row)]
    assert list(zip(entities.rows, entities.starts, entities.ends, entities.types, strict=True)) == expected
