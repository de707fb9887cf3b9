"""Labels of words are decoded to the same entities as by a slow loop, and to the most probable legal sequence."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xner_ray.encoders.temperature import apply_temperature
from xner_ray.ner.decoding import decode_entities, decode_word_labels
from xner_ray.ner.word_spans import WordSpans
from xner_ray.text.tags import bio2_to_spans, label_list
from xner_ray.text.viterbi import legal_sequences

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
    st.booleans(),
)
def test_a_word_without_a_subword_does_not_cut_an_entity(tags, places, second_row, is_bio2):
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
        decoded = decode_word_labels(probabilities, subwords, rows, LABELS, is_bio2)
        found = decode_entities(*decoded, words, LABELS)
        kept = np.flatnonzero(subwords >= 0)
        return [
            (np.searchsorted(kept, a), np.searchsorted(kept, b), kind, is_bio2 or score)
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


def is_legal(tags):
    return all(not t.startswith("I-") or p[1:] == t[1:] for p, t in zip(["O", *tags], tags, strict=False))


@st.composite
def scored_sentences(draw):
    """Sizes in words of the subwords of each sentence, and the probabilities of all subwords."""
    sizes = draw(st.lists(st.lists(st.integers(1, 3), min_size=1, max_size=4), min_size=1, max_size=4))
    n = sum(map(len, sizes))
    probability = st.sampled_from([0.0, 1e-12, 0.1, 0.2, 0.5, 0.9, 1.0])
    values = draw(st.lists(probability, min_size=5 * n, max_size=5 * n))
    return sizes, np.array(values, np.float32).reshape(n, 5)


@settings(deadline=None, max_examples=100)
@given(scored_sentences())
def test_labels_are_legal_and_as_probable_as_those_of_brute_force(drawn):
    """An entity may begin inside a subword of several words, as in Chinese. Then an I- follows that subword."""
    sizes, probabilities = drawn
    rows = np.repeat(np.arange(len(sizes)), [len(row) for row in sizes])
    flat = np.array([size for row in sizes for size in row])
    found = legal_sequences(probabilities, rows, flat > 1, LABELS)
    log = np.log(np.maximum(probabilities.astype(float), 1e-30))

    def allowed(ids, free):
        pairs = zip([0, *ids], ids, [False, *free], strict=False)
        return all(not LABELS[b].startswith("I-") or f or LABELS[a][1:] == LABELS[b][1:] for a, b, f in pairs)

    for row in range(len(sizes)):
        here = np.flatnonzero(rows == row)
        free, score = (flat[here] > 1).tolist(), log[here]
        best = max(
            sum(score[i, x] for i, x in enumerate(ids))
            for ids in product(range(5), repeat=len(here))
            if allowed(ids, free)
        )
        ids = found[here].tolist()
        assert allowed(ids, free)
        np.testing.assert_allclose(sum(score[i, x] for i, x in enumerate(ids)), best)
    subwords, word_rows = np.repeat(np.arange(len(flat)), flat), np.repeat(rows, flat)
    label_ids, scores = decode_word_labels(probabilities, subwords, word_rows, LABELS)
    tags = np.array([LABELS[i] for i in label_ids])
    assert all(is_legal(tags[word_rows == row].tolist()) for row in range(len(sizes)))
    assert set(scores.tolist()) <= set(probabilities.ravel().tolist())


def test_an_i_after_o_is_decided_with_its_neighbors():
    """The most probable labels are O, I-LOC. They are illegal, and B-LOC, I-LOC is more probable than O, O."""
    probabilities = np.array([[0.5, 0.4, 0, 0.1, 0], [0.1, 0.1, 0.8, 0, 0]], np.float32)
    ids, scores = decode_word_labels(probabilities, np.arange(2), np.zeros(2, int), LABELS)
    assert [LABELS[i] for i in ids] == ["B-LOC", "I-LOC"]
    assert scores.tolist() == pytest.approx([0.4, 0.8])
    ids, _ = decode_word_labels(probabilities, np.arange(2), np.zeros(2, int), LABELS, is_bio2=False)
    assert [LABELS[i] for i in ids] == ["O", "I-LOC"]


@pytest.mark.parametrize("temperature", [0.05, 0.07, 0.5, 1.0, 20.0])
def test_a_temperature_changes_scores_and_no_label(temperature):
    """At 0.05 the probability of O in the second word is below the floor of Viterbi, as that of B-LOC is in the first."""
    probabilities = np.array([[0.997, 0.001, 0.0003, 0.0012, 0.0005], [0.003, 0.009, 0.985, 0.001, 0.002]], np.float32)
    ids, scores = decode_word_labels(probabilities, np.arange(2), np.zeros(2, int), LABELS, temperature=temperature)
    assert [LABELS[i] for i in ids] == ["O", "B-LOC"]
    assert scores.tolist() == apply_temperature(probabilities, temperature)[[0, 1], ids].tolist()


def test_an_entity_can_begin_inside_a_subword():
    """A Chinese subword of two characters has the label of the first, O, and the entity begins at the second."""
    subwords = np.array([0, 0, 1])
    probabilities = np.array([[0.9, 0.1, 0, 0, 0], [0.1, 0, 0.8, 0.1, 0]], np.float32)
    ids, scores = decode_word_labels(probabilities, subwords, np.zeros(3, int), LABELS)
    assert [LABELS[i] for i in ids] == ["O", "B-LOC", "I-LOC"]
    assert scores.tolist() == pytest.approx([0.9, 0.8, 0.8])


def test_many_sentences_at_once_are_those_alone():
    random = np.random.default_rng(1)
    rows = np.sort(random.integers(0, 300, 6000))
    probabilities, is_free = random.dirichlet(np.full(5, 0.3), 6000), random.random(6000) < 0.2
    found = legal_sequences(probabilities, rows, is_free, LABELS)
    alone = [legal_sequences(*(x[rows == r] for x in (probabilities, rows, is_free)), LABELS) for r in np.unique(rows)]
    assert found.tolist() == np.concatenate(alone).tolist()
    assert legal_sequences(np.zeros((0, 5)), np.zeros(0, int), np.zeros(0, bool), LABELS).tolist() == []
