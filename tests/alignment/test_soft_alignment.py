"""Soft alignments and the window search against slow references; padding and batches change nothing."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.alignment.test_similarity import random_pairs, states_of
from tests.harness.emulated_device import EmulatedDevice
from xner_ray.alignment import similarity as similarity_module
from xner_ray.alignment import soft_alignment
from xner_ray.alignment.similarity import Similarity
from xner_ray.alignment.soft_alignment import mention_weights, token_mass, word_mass
from xner_ray.alignment.span_search import RECALL_WEIGHT, WordMass, best_windows, mix, window_means, window_scores
from xner_ray.alignment.spans import Spans, touched_tokens
from xner_ray.encoders.ragged import Ragged, offsets_of
from xner_ray.encoders.tokenizer import Tokens
from xner_ray.ner.word_spans import WordSpans


def letters(texts):
    """Every character but a space is a token."""
    spans = [[(i, i + 1) for i, c in enumerate(text) if c != " "] for text in texts]
    flat = np.array([s for row in spans for s in row], np.int32).reshape(-1, 2)
    ids = Ragged(np.zeros(len(flat), np.int32), offsets_of(np.array([len(row) for row in spans])))
    return Tokens(ids, flat[:, 0], flat[:, 1])


def unit(vectors):
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def reference(source, target, weights):
    """Forward and backward of one mention of one pair, by loops."""
    a, b = source, target
    forward, backward = np.zeros(len(b)), np.zeros(len(b))
    if min(len(a), len(b)) < 2:
        return forward, backward
    a, b = (unit(side - side.mean(axis=0)) for side in (source, target))
    table = np.exp(a.astype(np.float64) @ b.T / soft_alignment.TEMPERATURE)
    for i, weight in enumerate(weights):
        for j in range(len(b)):
            forward[j] += weight * table[i, j] / table[i].sum()
            backward[j] += (weight > 0) * table[i, j] / table[:, j].sum()
    return forward, backward


@pytest.mark.parametrize("budget", [16, 60, 4096])
def test_mentions_agree_with_a_loop_for_all_batch_sizes(tiny, budget, monkeypatch):
    sources, targets = random_pairs(3, 30)
    similarity = Similarity.load(str(tiny), 1, "fp32", budget, "cpu")
    source, target = similarity.tokenizer(sources), similarity.tokenizer(targets)
    random, edges = np.random.default_rng(budget), []
    for row, text in enumerate(sources):
        for _ in range(int(random.integers(0, 4)) if text else 0):
            start = int(random.integers(len(text)))
            edges.append((row, start, int(random.integers(start, len(text))) + 1))
    rows, starts, ends = np.array(edges, np.int64).reshape(-1, 3).T
    spans = Spans(rows, starts, ends)
    masses = []
    monkeypatch.setattr(similarity_module, "word_mass", lambda *args: masses.extend(args[:2]))
    similarity.align_mentions(sources, targets, WordSpans.from_texts(targets, "de"), spans)
    states = [list(states_of(similarity, side)) for side in (sources, targets)]
    weights, (first, _) = mention_weights(source, spans), touched_tokens(source, spans)
    for m, row in enumerate(rows):
        a, b = states[0][row], states[1][row]
        of_tokens = np.zeros(len(a))
        at = first[m] - source.ids.offsets[row]
        of_tokens[at : at + len(weights[m])] = weights[m]
        assert len(weights[m]) == 0 or weights[m].sum() == pytest.approx(1)
        for found, expected in zip(masses, reference(a, b, of_tokens), strict=True):
            assert len(found[m]) == target.ids.lengths[row]
            np.testing.assert_allclose(found[m], expected, atol=1e-3)


def test_the_host_waits_for_no_batch_of_mentions(tiny):
    sources, targets = random_pairs(1, 30)
    rows = np.array([i for i, text in enumerate(sources) if len(text) > 1])
    spans, words = (
        Spans(rows, np.zeros(len(rows), np.int64), np.ones(len(rows), np.int64)),
        WordSpans.from_texts(targets, "de"),
    )
    similarity = Similarity.load(str(tiny), 1, "fp32", 200, "cpu")
    expected = similarity.align_mentions(sources, targets, words, spans)
    device = EmulatedDevice()
    device.attach(similarity.engine)
    with device.running():
        found = similarity.align_mentions(sources, targets, words, spans)
    assert not device.waits
    np.testing.assert_allclose(found.recall.values, expected.recall.values, atol=1e-5)
    np.testing.assert_allclose(found.precision.values, expected.precision.values, atol=1e-5)


def test_padding_changes_nothing():
    random = torch.Generator().manual_seed(0)
    source, target = torch.randn(1, 4, 6, generator=random), torch.randn(1, 5, 6, generator=random)
    weights = torch.tensor([[[0.0, 0.5, 0.5, 0.0]]])
    alone = token_mass((source, torch.ones(1, 4, dtype=bool)), (target, torch.ones(1, 5, dtype=bool)), weights)
    pad = torch.nn.functional.pad
    masks = [torch.arange(n + 3)[None] < n for n in (4, 5)]
    source, target = (pad(x, (0, 0, 0, 3), value=9.0) for x in (source, target))
    padded = token_mass((source, masks[0]), (target, masks[1]), pad(weights, (0, 3)))
    for a, b in zip(alone, padded, strict=True):
        torch.testing.assert_close(a, b[:, :, :5])


def test_no_mentions_and_empty_sentences_align_with_nothing(tiny):
    similarity = Similarity.load(str(tiny), 1, "fp32", 4096, "cpu")
    none = np.zeros(0, np.int64)
    words = WordSpans.from_texts(["ulm", ""], "de")
    assert not len(similarity.align_mentions(["", "anna"], ["ulm", ""], words, Spans(none, none, none)).recall.values)
    spans = Spans(np.array([0, 1]), np.array([0, 0]), np.array([0, 4]))
    mass = similarity.align_mentions(["", "anna"], ["ulm", ""], words, spans)
    assert mass.recall.lengths.tolist() == [1, 0] and not mass.recall.values.any() and not mass.precision.values.any()


@pytest.mark.parametrize(("source", "target"), [("x", "anna lebt in ulm"), ("anna lebt in ulm", "x"), ("x", "x")])
def test_the_similarity_says_nothing_about_a_side_with_one_token(tiny, source, target):
    similarity = Similarity.load(str(tiny), 1, "fp32", 4096, "cpu")
    assert min(similarity.tokenizer([source, target]).ids.lengths) == 1
    sources, targets = [source, "anna in ulm"], [target, "anna in ulm"]
    spans = Spans(np.array([0, 1]), np.array([0, 0]), np.array([len(source), 4]))
    mass = similarity.align_mentions(sources, targets, WordSpans.from_texts(targets, "de"), spans)
    assert not mass.recall[0].any() and not mass.precision[0].any() and mass.recall[1].argmax() == 0
    assert similarity.project_entities(sources, [[(0, 1, "PER")], []], targets, "de") == [[], []]


def test_all_words_of_a_mention_count_the_same():
    weights = mention_weights(letters(["abc d ef"]), Spans(np.array([0, 0]), np.array([0, 4]), np.array([8, 5])))
    np.testing.assert_allclose(weights[0], [1 / 9] * 3 + [1 / 3] + [1 / 6] * 2, rtol=1e-6)
    assert weights[1].tolist() == [1.0]


def test_words_share_the_recall_of_a_token_and_have_its_precision():
    tokens = Tokens(Ragged(np.zeros(2, np.int32), np.array([0, 2])), np.array([0, 2]), np.array([2, 3]))
    words = WordSpans.from_lists([[(0, 1), (1, 2), (2, 3)]])
    forward, backward = (Ragged(np.array(x, np.float32), np.array([0, 2])) for x in ([0.6, 0.4], [0.9, 0.2]))
    mass = word_mass(forward, backward, tokens, words, np.array([0]))
    np.testing.assert_allclose(mass.recall.values, [0.3, 0.3, 0.4], rtol=1e-6)
    np.testing.assert_allclose(mass.precision.values, [0.9, 0.9, 0.2], rtol=1e-6)


def test_words_beyond_a_truncated_target_have_no_mass():
    tokens = letters(["abc"])
    words = WordSpans.from_lists([[(0, 1), (1, 2), (2, 3)]])
    forward = Ragged(np.array([0.5, 0.5], np.float32), np.array([0, 2]))
    mass = word_mass(forward, forward, tokens, words, np.array([0]))
    np.testing.assert_allclose(mass.recall.values, [0.5, 0.5, 0.0])


rows_of_words = st.lists(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), max_size=7), min_size=1, max_size=4)


@settings(max_examples=60, deadline=None)
@given(rows_of_words, st.integers(1, 4))
def test_the_best_window_agrees_with_a_loop_over_all_windows(rows, max_words):
    offsets = offsets_of(np.array([len(row) for row in rows]))
    values = np.array([word for row in rows for word in row]).reshape(-1, 2)
    # The recall of a row sums to 1 at most.
    recall = np.concatenate([np.array([w[0] for w in row]) / max(1, sum(w[0] for w in row)) for row in rows])
    mass = WordMass(Ragged(recall, offsets), Ragged(values[:, 1], offsets))
    first, last, scores = best_windows(mass, max_words)
    for m, row in enumerate(rows):
        best = 0.0
        for a in range(len(row)):
            for b in range(a + 1, min(len(row), a + max_words) + 1):
                r, p = mass.recall[m][a:b].sum(), mass.precision[m][a:b].mean()
                best = max(best, (1 + RECALL_WEIGHT**2) * r * p / max(1e-9, r + RECALL_WEIGHT**2 * p))
        assert scores[m] == pytest.approx(best, abs=2e-6)
        if best > 1e-5:
            window = np.array([m]), first[m : m + 1], last[m : m + 1]
            assert window_scores(mass, *window)[0] == pytest.approx(best, abs=2e-6)
            assert window_means(mass.precision, *window)[0] == pytest.approx(
                mass.precision[m][first[m] : last[m]].mean()
            )


def test_a_head_noun_that_matches_weakly_is_in_the_window():
    """Ausschuß für Regionalpolitik of Committee on Regional Policy: `für` matches nothing."""
    offsets = np.array([0, 4])
    mass = WordMass(Ragged(np.array([0.2, 0.0, 0.6, 0.0]), offsets), Ragged(np.array([0.8, 0.3, 1.0, 0.0]), offsets))
    first, last, _ = best_windows(mass)
    assert (first[0], last[0]) == (0, 3)


def test_an_aligner_that_finds_nothing_lowers_the_scores_and_moves_no_window():
    offsets = np.array([0, 3])
    mass = WordMass(Ragged(np.array([0.1, 0.8, 0.0]), offsets), Ragged(np.array([0.1, 0.9, 0.0]), offsets))
    mixed = mix(mass, Ragged(np.zeros(3), offsets), 0.5)
    first, last, score = best_windows(mixed)
    assert (first[0], last[0]) == (1, 2) and score[0] < best_windows(mass)[2][0]
    agreed = mix(mass, Ragged(np.array([0.0, 1.0, 0.0]), offsets), 0.5)
    assert best_windows(agreed)[2][0] > best_windows(mass)[2][0]
