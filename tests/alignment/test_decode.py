import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from xner_ray.alignment.decoding import Decoding, spans, token_range
from xner_ray.encoders.ragged import Ragged, offsets_of
from xner_ray.encoders.tokenizer import Tokens
from xner_ray.ner.word_spans import WordSpans

SENTENCES = ["Anna Berg lebt in Neu-Ulm.", "", "他在北京大学。", "a", "über Ulm, Ulm"]


def pieces(texts, size=2):
    """Tokens of `size` characters, cut at white space."""
    rows = []
    for text in texts:
        row = [(i, i + 1) for i in range(len(text)) if not text[i].isspace()]
        merged = []
        for a, b in row:
            if merged and merged[-1][1] == a and merged[-1][1] - merged[-1][0] < size:
                merged[-1] = (merged[-1][0], b)
            else:
                merged.append((a, b))
        rows.append(merged)
    flat = np.array([p for row in rows for p in row], np.int32).reshape(-1, 2)
    ids = Ragged(np.zeros(len(flat), np.int32), offsets_of(np.array([len(r) for r in rows])))
    return Tokens(ids, flat[:, 0], flat[:, 1])


def test_a_run_of_positive_words_is_a_span_and_its_score_their_mean():
    texts = ["Anna Berg lebt"]
    tokens = pieces(texts)  # An na | Be rg | le bt
    answers = np.array([0.9, 0.7, 0.6, 0.8, 0.1, 0.9], np.float32)
    found = spans(answers, tokens, np.array([0]), WordSpans.from_texts(texts, "de"), Decoding(0.6, 0, "mean"))
    assert [found[k].tolist() for k in ("query", "start", "end")] == [[0], [0], [9]]
    assert np.isclose(found["score"][0], 0.75)
    first = spans(answers, tokens, np.array([0]), WordSpans.from_texts(texts, "de"), Decoding(0.65, 0, "first"))
    assert (first["start"].tolist(), first["end"].tolist()) == ([0], [4])


def test_a_gap_is_stepped_over_only_where_allowed():
    texts = ["a b c"]
    answers = np.array([0.9, 0.2, 0.7], np.float32)
    for gap, want in ((0, [(0, 1), (4, 5)]), (1, [(0, 5)])):
        found = spans(answers, pieces(texts), np.array([0]), WordSpans.from_texts(texts, "de"), Decoding(0.5, gap))
        assert list(zip(found["start"], found["end"], strict=True)) == want


def test_chinese_characters_share_the_probability_of_their_piece():
    texts = ["他在北京大学。"]  # pieces 他在 北京 大学 。
    answers = np.array([0.1, 0.9, 0.9, 0.0], np.float32)
    found = spans(answers, pieces(texts), np.array([0]), WordSpans.from_texts(texts, "zh"), Decoding())
    assert texts[0][found["start"][0] : found["end"][0]] == "北京大学"


def test_queries_of_one_sentence_do_not_run_into_each_other():
    texts = ["a b"]
    found = spans(
        np.ones(4, np.float32), pieces(texts), np.array([0, 0]), WordSpans.from_texts(texts, "de"), Decoding()
    )
    assert [found[k].tolist() for k in ("query", "start", "end")] == [[0, 1], [0, 0], [3, 3]]


@settings(max_examples=100, deadline=None)
@given(st.data(), st.sampled_from(["de", "zh"]), st.sampled_from(["first", "mean"]), st.integers(0, 2))
def test_spans_fit_their_text_begin_and_end_at_words_and_never_overlap(data, language, word, gap):
    tokens, words = pieces(SENTENCES), WordSpans.from_texts(SENTENCES, language)
    text = np.array(data.draw(st.lists(st.integers(0, len(SENTENCES) - 1), max_size=6)), np.int64)
    total = int(tokens.ids.lengths[text].sum())
    answers = np.array(data.draw(st.lists(st.floats(0, 1, width=16), min_size=total, max_size=total)), np.float32)
    found = spans(answers, tokens, text, words, Decoding(0.5, gap, word))
    last = (-1, -1)
    for q, a, b, score in zip(found["query"], found["start"], found["end"], found["score"], strict=True):
        row = slice(words.offsets[text[q]], words.offsets[text[q] + 1])
        assert a in words.starts[row] and b in words.ends[row] and a < b
        assert 0 <= score <= 1 and (gap or score >= 0.4999)
        assert q > last[0] or (q == last[0] and a >= last[1])
        last = (q, b)
    # A query's answer depends on its own tokens alone.
    for q in range(len(text)):
        own = slice(*offsets_of(tokens.ids.lengths[text])[q : q + 2])
        alone = spans(answers[own], tokens, text[q : q + 1], words, Decoding(0.5, gap, word))
        mine = found["query"] == q
        assert alone["start"].tolist() == found["start"][mine].tolist()
        assert alone["end"].tolist() == found["end"][mine].tolist()


@given(st.data())
def test_token_range_is_what_a_loop_finds(data):
    tokens = pieces(SENTENCES, data.draw(st.integers(1, 3)))
    row = data.draw(st.sampled_from([0, 2, 3, 4]))
    a = data.draw(st.integers(0, len(SENTENCES[row]) - 1))
    b = data.draw(st.integers(a + 1, len(SENTENCES[row])))
    first, last = token_range(
        tokens.starts, tokens.ends, tokens.ids.offsets, np.array([row]), np.array([a]), np.array([b])
    )
    low, high = tokens.ids.offsets[row : row + 2]
    want = [i for i in range(low, high) if tokens.starts[i] < b and tokens.ends[i] > a]
    assert list(range(first[0], last[0])) == want
