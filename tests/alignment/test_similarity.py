import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xner_ray.alignment.similarity import Similarity, nearest_neighbors
from xner_ray.alignment.span_expansion import project_spans
from xner_ray.alignment.spans import Spans
from xner_ray.alignment.token_matches import TokenMatches
from xner_ray.encoders.ragged import Ragged, offsets_of
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


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=4), st.integers(0, 99))
def test_nearest_neighbors_agree_with_a_loop_over_pairs(sizes, seed):
    random = np.random.default_rng(seed)
    sources, targets = ([random.standard_normal((n[side], 4)).astype(np.float32) for n in sizes] for side in (0, 1))
    source, target = (Ragged(np.concatenate(x), offsets_of(np.array([len(v) for v in x]))) for x in (sources, targets))
    to_target, to_source, product = nearest_neighbors(source, target)
    m = TokenMatches(None, None, to_target, to_source, product)
    for r, (a, b) in enumerate(zip(sources, targets, strict=True)):
        table, i0, j0 = a @ b.T, source.offsets[r], target.offsets[r]
        nearest = table.argmax(axis=1) if len(b) else []
        assert to_target[i0 : i0 + len(a)].tolist() == ([j0 + j for j in nearest] or [-1] * len(a))
        back = table.argmax(axis=0) if len(a) else []
        assert to_source[j0 : j0 + len(b)].tolist() == ([i0 + i for i in back] or [-1] * len(b))
        mutual = [j0 + j if table[:, j].argmax() == i else -1 for i, j in enumerate(nearest)]
        assert m.mutual[i0 : i0 + len(a)].tolist() == (mutual or [-1] * len(a))
    assert np.all(to_target[product == 0] == -1) and m.reversed().mutual.tolist() == _inverse(m.mutual, len(to_source))


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
