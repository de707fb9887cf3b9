import numpy as np
import pyarrow as pa
import pytest
import torch

from tests.harness.emulated_device import EmulatedDevice
from xner_ray.alignment.similarity import Similarity
from xner_ray.alignment.span_expansion import project_spans
from xner_ray.alignment.spans import Spans
from xner_ray.alignment.token_matches import TokenMatches
from xner_ray.encoders.ragged import Ragged
from xner_ray.encoders.tokenizer import Tokens
from xner_ray.errors import UserError
from xner_ray.ner.word_spans import WordSpans


def tokens(text):
    """White-space words as tokens."""
    spans, position = [], 0
    for word in text.split(" "):
        if word:
            spans.append((position, position + len(word)))
        position += len(word) + 1
    flat = np.array(spans, np.int32).reshape(-1, 2)
    return Tokens(Ragged(np.zeros(len(flat), np.int32), np.array([0, len(flat)])), flat[:, 0], flat[:, 1])


def matches(source, target, mutual, cosine=0.9, one_way=()):
    """Token matches of one pair.

    Args:
        mutual: (source, target) tokens that are each other's nearest neighbor.
        one_way: (source, target) where only the source token is the nearest neighbor of the target token.
    """
    a, b = tokens(source), tokens(target)
    nearest_target, nearest_source = np.full(len(a.starts), -1), np.full(len(b.starts), -1)
    cosines = np.zeros(len(a.starts), np.float32)
    for i, j in mutual:
        nearest_target[i], nearest_source[j], cosines[i] = j, i, cosine
    for i, j in one_way:
        nearest_source[j] = i
    return TokenMatches(a, b, nearest_target, nearest_source, cosines)


def project(m, target, start, end, max_gap_words=1, max_expansion_words=0):
    """Text and score of the projection of one span."""
    span = Spans(np.array([0]), np.array([start]), np.array([end]))
    words, strings = WordSpans.from_texts([target], "de"), pa.array([target], pa.string())
    projected, scores = project_spans(m, words, strings, span, max_gap_words, max_expansion_words)
    return target[projected.starts[0] : projected.ends[0]], float(scores[0])


def test_the_longest_run_of_matched_words_wins_and_may_contain_a_gap():
    source, target = "the United Nations Charter", "die Charta der Vereinten alten Nationen"
    m = matches(source, target, [(1, 3), (2, 5), (3, 1)])
    assert project(m, target, 4, 18)[0] == "Vereinten alten Nationen"
    assert project(m, target, 4, 18, max_gap_words=0)[0] in ("Vereinten", "Nationen")
    assert project(m, target, 0, 3) == ("", 0.0)


def test_a_run_does_not_join_equal_words():
    source, target = "New York", "York nach York"
    assert project(matches(source, target, [(0, 0), (1, 2)]), target, 0, 8)[0] == "York"


def test_a_run_is_expanded_over_words_nearest_to_the_name_and_no_further():
    source, target = "in Texas now", "jetzt im Staat De Ksa S da"
    m = matches(source, target, [(1, 3)], one_way=[(1, 4), (1, 5), (0, 2), (1, 1)])
    assert project(m, target, 3, 8)[0] == "De"
    assert project(m, target, 3, 8, max_expansion_words=1)[0] == "De Ksa"
    # `Staat` is not nearest to the name, so `im` beyond it is not reached.
    assert project(m, target, 3, 8, max_expansion_words=12)[0] == "De Ksa S"
    unmatched = matches(source, target, [], one_way=[(1, 4)])
    assert project(unmatched, target, 3, 8, max_expansion_words=12) == ("", 0.0)


def test_the_score_counts_tokens_without_a_match():
    source, target = "New York City", "die Stadt"
    assert project(matches(source, target, [(2, 1)]), target, 0, 13) == ("Stadt", pytest.approx(0.3))


def test_reversed_matches_are_the_other_direction():
    source, target = "a b c", "x y"
    m = matches(source, target, [(0, 1), (2, 0)])
    back = m.reversed()
    assert back.mutual.tolist() == [2, 0] and back.reversed().mutual.tolist() == m.mutual.tolist()
    assert back.cosine == pytest.approx([0.9, 0.9])
    assert project(back, source, 2, 3)[0] == "a"


def states_of(similarity, texts):
    """Unit vectors of the tokens of each text, each text in a batch of its own."""
    for text in texts:
        ids = similarity.tokenizer.with_special_tokens(similarity.tokenizer([text]).ids)
        states = similarity.engine.hidden_states(ids, similarity.layer)
        states = states[len(similarity.tokenizer.prefix) : len(states) - len(similarity.tokenizer.suffix)]
        yield states / np.linalg.norm(states, axis=1, keepdims=True)


def random_pairs(seed, pairs):
    """Sentences of up to 20 words; some are empty, and some occur twice."""
    random = np.random.default_rng(seed)
    words = ["anna", "berg", "lebt", "in", "ulm", "und", "京", "ab", "nordwind"]
    texts = [" ".join(random.choice(words, size=n)) for n in random.integers(0, 21, size=2 * pairs)]
    return [*texts[:pairs], texts[0], ""], [*texts[pairs:], texts[1], "ulm"]


@pytest.mark.parametrize("budget", [16, 60, 4096])
def test_matches_agree_with_a_loop_over_pairs(tiny, budget):
    sources, targets = random_pairs(budget, 40)
    similarity = Similarity.load(str(tiny), 1, "fp32", budget, "cpu")
    m = similarity.match(sources, targets)
    rows = zip(states_of(similarity, sources), states_of(similarity, targets), strict=True)
    for r, (a, b) in enumerate(rows):
        table, i0, j0 = a @ b.T, m.source.ids.offsets[r], m.target.ids.offsets[r]
        nearest = table.argmax(axis=1) if len(b) else []
        assert m.nearest_target[i0 : i0 + len(a)].tolist() == ([j0 + j for j in nearest] or [-1] * len(a))
        back = table.argmax(axis=0) if len(a) else []
        assert m.nearest_source[j0 : j0 + len(b)].tolist() == ([i0 + i for i in back] or [-1] * len(b))
        mutual = [j0 + j if table[:, j].argmax() == i else -1 for i, j in enumerate(nearest)]
        assert m.mutual[i0 : i0 + len(a)].tolist() == (mutual or [-1] * len(a))
        best = table.max(axis=1) if len(b) else np.zeros(len(a))
        assert m.cosine[i0 : i0 + len(a)] == pytest.approx(best, abs=1e-5)
    assert m.reversed().mutual.tolist() == _inverse(m.mutual, len(m.nearest_source))


def test_the_host_waits_for_no_batch_of_pairs(tiny):
    sources, targets = random_pairs(1, 30)
    similarity = Similarity.load(str(tiny), 1, "fp32", 200, "cpu")
    expected = similarity.match(sources, targets)
    device = EmulatedDevice()
    device.attach(similarity.engine)
    with device.running():
        found = similarity.match(sources, targets)
    assert not device.waits
    assert found.nearest_target.tolist() == expected.nearest_target.tolist()
    assert found.nearest_source.tolist() == expected.nearest_source.tolist()
    assert found.cosine == pytest.approx(expected.cosine)


def test_states_that_are_not_finite_are_computed_again_in_fp32(tiny, monkeypatch):
    similarity = Similarity.load(str(tiny), 1, "bf16", 4096, "cpu")
    expected = Similarity.load(str(tiny), 1, "fp32", 4096, "cpu").match(["anna lebt"], ["anna in ulm"])
    hidden_states = similarity.engine._hidden_states

    def overflowing(batch, layer):
        states = hidden_states(batch, layer)
        return states if states.dtype == torch.float32 else states * torch.nan

    monkeypatch.setattr(similarity.engine, "_hidden_states", overflowing)
    found = similarity.match(["anna lebt"], ["anna in ulm"])
    assert found.cosine == pytest.approx(expected.cosine, abs=0.02) and similarity.engine.stats.fp32_repeats == 1
    monkeypatch.setattr(
        similarity.engine, "_hidden_states", lambda batch, layer: hidden_states(batch, layer) * torch.nan
    )
    with pytest.raises(ValueError, match="not finite"):
        similarity.match(["anna lebt"], ["anna in ulm"])


def test_no_pairs_and_empty_pairs_have_no_matches(tiny):
    similarity = Similarity.load(str(tiny), layer=1, precision="fp32")
    assert not len(similarity.match([], []).nearest_target)
    m = similarity.match(["", "anna"], ["ulm", ""])
    assert set(m.nearest_target.tolist()) == set(m.nearest_source.tolist()) == {-1} and not m.cosine.any()


def _inverse(mutual, size):
    inverse = [-1] * size
    for i, j in enumerate(mutual.tolist()):
        if j >= 0:
            inverse[j] = i
    return inverse


def test_equal_sentences_match_token_by_token_and_project_to_themselves(tiny):
    """Under random weights, equal tokens of equal sentences have equal states."""
    similarity = Similarity.load(str(tiny), layer=1, precision="fp32")
    texts = ["Anna Berg lebt in Ulm", "", "京 ab"]
    m = similarity.match(texts, texts)
    assert np.array_equal(m.mutual, np.arange(len(m.mutual)))
    assert m.cosine == pytest.approx(np.ones(len(m.cosine)), abs=1e-4)
    candidates = similarity.project_entities(texts, [[(0, 9, "PER"), (18, 21, "LOC")], [], []], texts, "de")
    assert [c[:3] for c in candidates[0]] == [(0, 0, 9), (1, 18, 21)] and candidates[1:] == [[], []]
    assert similarity.num_truncated == 0
    similarity.match(["ab " * 200], ["ab"])
    assert similarity.num_truncated == 1


def test_a_layer_that_does_not_exist_is_an_error(tiny):
    with pytest.raises(UserError, match="2 layers") as e:
        Similarity.load(str(tiny), layer=3)
    assert e.value.key == "aligner.similarity_layer" and e.value.remedy
