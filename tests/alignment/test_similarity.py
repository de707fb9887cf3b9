import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xner_ray.alignment.similarity import Matches, Similarity, _match_chunk
from xner_ray.alignment.span_expansion import project_spans
from xner_ray.encoders.ragged import Ragged, offsets_of
from xner_ray.encoders.tokenizer import Tokens
from xner_ray.errors import UserError
from xner_ray.ner.word_spans import WordSpans


def tokens(text):
    """White-space words as tokens."""
    spans = [(m, m + len(w)) for m, w in _words(text)]
    flat = np.array(spans, np.int32).reshape(-1, 2)
    return Tokens(Ragged(np.zeros(len(flat), np.int32), np.array([0, len(flat)])), flat[:, 0], flat[:, 1])


def _words(text):
    at = 0
    for word in text.split(" "):
        if word:
            yield at, word
        at += len(word) + 1


def matches(source, target, pairs, cosine=0.9, kin=()):
    """`pairs` (source, target) are mutual; `kin` are target tokens nearest to a source token that prefers another."""
    a, b = tokens(source), tokens(target)
    nearest, back = np.full(len(a.starts), -1), np.full(len(b.starts), -1)
    near = np.zeros(len(a.starts), np.float32)
    for i, j in pairs:
        nearest[i], back[j], near[i] = j, i, cosine
    for i, j in kin:
        back[j] = i
    return Matches(a, b, nearest, back, near)


def project(m, target, start, end, gap=1, growth=0):
    words, span = WordSpans.from_texts([target], "de"), (np.array([0]), np.array([start]), np.array([end]))
    s, e, score = project_spans(m, words, *span, gap, growth)
    return target[s[0] : e[0]], float(score[0])


def test_the_longest_run_of_matched_words_wins_and_steps_over_one():
    source, target = "the United Nations Charter", "die Charta der Vereinten alten Nationen"
    m = matches(source, target, [(1, 3), (2, 5), (3, 1)])
    assert project(m, target, 4, 18)[0] == "Vereinten alten Nationen"
    assert project(m, target, 4, 18, gap=0)[0] in ("Vereinten", "Nationen")
    assert project(m, target, 0, 3) == ("", 0.0)


def test_a_run_grows_over_words_that_mean_the_name_and_no_further():
    source, target = "in Texas now", "jetzt im Staat De Ksa S da"
    m = matches(source, target, [(1, 3)], kin=[(1, 4), (1, 5), (0, 2), (1, 1)])
    assert project(m, target, 3, 8)[0] == "De"
    assert project(m, target, 3, 8, growth=1)[0] == "De Ksa"
    assert project(m, target, 3, 8, growth=12)[0] == "De Ksa S"  # `Staat` stands between, and nothing reaches over it
    assert project(matches(source, target, [], kin=[(1, 4)]), target, 3, 8, growth=12) == ("", 0.0)


def test_the_score_counts_tokens_without_a_match():
    source, target = "New York City", "die Stadt"
    assert project(matches(source, target, [(2, 1)]), target, 0, 13) == ("Stadt", pytest.approx(0.3))


def test_reversed_is_the_other_direction():
    source, target = "a b c", "x y"
    m = matches(source, target, [(0, 1), (2, 0)])
    back = m.reversed()
    assert back.forward.tolist() == [2, 0] and back.reversed().forward.tolist() == m.forward.tolist()
    assert back.cosine == pytest.approx([0.9, 0.9])
    assert project(back, source, 2, 3)[0] == "a"


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=4), st.integers(0, 99))
def test_batches_match_as_a_loop_over_pairs(sizes, seed):
    random = np.random.default_rng(seed)
    left, right = ([random.standard_normal((n[side], 4)).astype(np.float32) for n in sizes] for side in (0, 1))
    rows = [Ragged(np.concatenate(x), offsets_of(np.array([len(v) for v in x]))) for x in (left, right)]
    nearest, back = np.full(len(rows[0].values), -1), np.full(len(rows[1].values), -1)
    cosine = np.zeros(len(nearest), np.float32)
    _match_chunk(rows[0], rows[1], rows[0].offsets[:-1], rows[1].offsets[:-1], nearest, back, cosine)
    m = Matches(None, None, nearest, back, cosine)
    for r, (a, b) in enumerate(zip(left, right, strict=True)):
        table, (i0, j0) = a @ b.T, (rows[0].offsets[r], rows[1].offsets[r])
        near = table.argmax(axis=1) if len(b) else []
        assert nearest[i0 : i0 + len(a)].tolist() == [j0 + j for j in near] or not len(b)
        assert back[j0 : j0 + len(b)].tolist() == [
            i0 + i for i in (table.argmax(axis=0) if len(a) else [])
        ] or not len(a)
        mutual = [j0 + j if table[:, j].argmax() == i else -1 for i, j in enumerate(near)]
        assert m.forward[i0 : i0 + len(a)].tolist() == (mutual or [-1] * len(a))
    assert np.all(nearest[cosine == 0] == -1) and m.reversed().forward.tolist() == _inverse(m.forward, len(back))


def _inverse(forward, size):
    out = [-1] * size
    for i, j in enumerate(forward.tolist()):
        if j >= 0:
            out[j] = i
    return out


def test_equal_sentences_match_token_by_token_and_project_to_themselves(tiny):
    """Random weights know one thing: the same tokens in the same sentence have the same states."""
    similarity = Similarity.load(str(tiny), layer=1, precision="fp32")
    texts = ["Anna Berg lebt in Ulm", "", "京 ab"]
    m = similarity.match(texts, texts)
    assert np.array_equal(m.forward, np.arange(len(m.forward)))
    assert m.cosine == pytest.approx(np.ones(len(m.cosine)), abs=1e-4)
    found = similarity.project_entities(texts, [[(0, 9, "PER"), (18, 21, "LOC")], [], []], texts, "de")
    assert [c[:3] for c in found[0]] == [(0, 0, 9), (1, 18, 21)] and found[1:] == [[], []]
    assert similarity.cut == 0
    similarity.match(["ab " * 200], ["ab"])
    assert similarity.cut == 1


def test_a_layer_that_does_not_exist_is_an_error(tiny):
    with pytest.raises(UserError, match="2 layers"):
        Similarity.load(str(tiny), layer=3)
