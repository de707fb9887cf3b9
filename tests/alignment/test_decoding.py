import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xner_ray.alignment.decoding import MIN_GAP_PROBABILITY, Decoding, decode_spans
from xner_ray.alignment.spans import Spans, touched_tokens
from xner_ray.config import AlignerConfig
from xner_ray.encoders.ragged import Ragged, offsets_of
from xner_ray.encoders.tokenizer import Tokens
from xner_ray.ner.word_spans import WordSpans

SENTENCES = ["Anna Berg lebt in Neu-Ulm.", "", "他在北京大学。", "a", "über Ulm, Ulm"]


def tokenize(texts, size=2):
    """Tokens of `size` characters, split at white space."""
    rows = []
    for text in texts:
        characters = [(i, i + 1) for i in range(len(text)) if not text[i].isspace()]
        merged = []
        for a, b in characters:
            if merged and merged[-1][1] == a and merged[-1][1] - merged[-1][0] < size:
                merged[-1] = (merged[-1][0], b)
            else:
                merged.append((a, b))
        rows.append(merged)
    flat = np.array([p for row in rows for p in row], np.int32).reshape(-1, 2)
    ids = Ragged(np.zeros(len(flat), np.int32), offsets_of(np.array([len(r) for r in rows])))
    return Tokens(ids, flat[:, 0], flat[:, 1])


def decode(texts, probabilities, decoding, language="de", pair_ids=(0,)):
    words = WordSpans.from_texts(texts, language)
    strings = pa.array(texts, pa.string())
    return decode_spans(
        np.array(probabilities, np.float32), tokenize(texts), words, strings, np.array(pair_ids), decoding
    )


def edges(candidates):
    return list(zip(candidates.starts.tolist(), candidates.ends.tolist(), strict=True))


def test_a_run_of_positive_words_is_a_span_with_their_mean_as_score():
    probabilities = [0.9, 0.7, 0.6, 0.8, 0.1, 0.9]  # An na | Be rg | le bt
    candidates = decode(["Anna Berg lebt"], probabilities, Decoding(0.6, 0, "mean"))
    assert candidates.query_ids.tolist() == [0] and edges(candidates) == [(0, 9)]
    assert np.isclose(candidates.scores[0], 0.75) and candidates.aligner_scores[0] == candidates.scores[0]
    assert edges(decode(["Anna Berg lebt"], probabilities, Decoding(0.65, 0, "first"))) == [(0, 4)]


def test_a_span_contains_at_most_max_gap_words_below_the_threshold():
    for max_gap_words, expected in ((0, [(0, 1), (4, 5)]), (1, [(0, 5)])):
        assert edges(decode(["a b c"], [0.9, 0.2, 0.7], Decoding(0.5, max_gap_words))) == expected


REPEATED = [
    ("Köln schlug Köln", "de", [0.9, 0.9, 0.3, 0.3, 0.3, 0.9, 0.9], ["Köln", "Köln"]),  # Kö ln sc hl ug Kö ln
    ("Wien nach WIEN", "de", [0.9, 0.9, 0.4, 0.4, 0.9, 0.9], ["Wien", "WIEN"]),
    ("德国对 德国", "zh", [0.9, 0.4, 0.9], ["德国", "德国"]),
    ("Wien Wien", "de", [0.9] * 4, ["Wien Wien"]),  # without a gap, as in Baden Baden
    ("Bank of Bank", "de", [0.9, 0.9, 0.4, 0.9, 0.9], ["Bank", "Bank"]),
    ("Bank of Rome", "de", [0.9, 0.9, 0.4, 0.9, 0.9], ["Bank of Rome"]),
    ("Bank of Rome", "de", [0.9, 0.9, 0.0, 0.9, 0.9], ["Bank", "Rome"]),  # a word near 0 belongs to no name
]


@pytest.mark.parametrize(("text", "language", "probabilities", "spans"), REPEATED)
def test_spans_of_equal_text_and_spans_around_a_word_near_0_are_not_joined(text, language, probabilities, spans):
    candidates = decode([text], probabilities, Decoding(), language)
    assert [text[a:b] for a, b in edges(candidates)] == spans


@given(st.lists(st.floats(0, 1, width=16), min_size=5, max_size=5), st.integers(0, 3))
def test_no_gap_is_between_equal_parts_or_contains_a_word_near_0(numbers, max_gap_words):
    text = "a b a c a"
    candidates = decode([text], numbers, Decoding(max_gap_words=max_gap_words))
    positive = [x >= 0.5 for x in numbers]
    for start, end in edges(candidates):
        words = range(start // 2, end // 2 + 1)
        assert all(positive[i] or numbers[i] >= MIN_GAP_PROBABILITY for i in words)
        for i in words[:-2]:
            is_alone = not any(positive[j] for j in (i - 1, i + 1, i + 3) if 0 <= j < 5)
            assert not (is_alone and positive[i] and positive[i + 2] and text[2 * i] == text[2 * i + 4])


def test_chinese_characters_share_the_probability_of_their_token():
    text = "他在北京大学。"  # tokens 他在 北京 大学 。
    ((start, end),) = edges(decode([text], [0.1, 0.9, 0.9, 0.0], Decoding(), "zh"))
    assert text[start:end] == "北京大学"


def test_spans_of_two_queries_are_separate():
    candidates = decode(["a b"], np.ones(4), Decoding(), pair_ids=[0, 0])
    assert candidates.query_ids.tolist() == [0, 1] and edges(candidates) == [(0, 3), (0, 3)]


@settings(max_examples=100, deadline=None)
@given(st.data(), st.sampled_from(["de", "zh"]), st.sampled_from(["first", "mean"]), st.integers(0, 2))
def test_spans_have_word_edges_never_overlap_and_depend_on_their_query_alone(data, language, pooling, max_gap_words):
    tokens, words = tokenize(SENTENCES), WordSpans.from_texts(SENTENCES, language)
    strings = pa.array(SENTENCES, pa.string())
    pair_ids = np.array(data.draw(st.lists(st.integers(0, len(SENTENCES) - 1), max_size=6)), np.int64)
    total = int(tokens.ids.lengths[pair_ids].sum())
    numbers = data.draw(st.lists(st.floats(0, 1, width=16), min_size=total, max_size=total))
    probabilities, decoding = np.array(numbers, np.float32), Decoding(0.5, max_gap_words, pooling)
    candidates = decode_spans(probabilities, tokens, words, strings, pair_ids, decoding)
    previous = (-1, -1)
    for query, (start, end), score in zip(candidates.query_ids, edges(candidates), candidates.scores, strict=True):
        own_words = slice(words.offsets[pair_ids[query]], words.offsets[pair_ids[query] + 1])
        assert start in words.starts[own_words] and end in words.ends[own_words] and start < end
        assert 0 <= score <= 1 and (max_gap_words or score >= 0.4999)
        assert query > previous[0] or (query == previous[0] and start >= previous[1])
        previous = (query, end)
    for query in range(len(pair_ids)):
        own_tokens = slice(*offsets_of(tokens.ids.lengths[pair_ids])[query : query + 2])
        alone = decode_spans(probabilities[own_tokens], tokens, words, strings, pair_ids[query : query + 1], decoding)
        assert edges(alone) == edges(candidates.take(candidates.query_ids == query))


@given(st.data())
def test_touched_tokens_agree_with_a_loop(data):
    tokens = tokenize(SENTENCES, data.draw(st.integers(1, 3)))
    row = data.draw(st.sampled_from([0, 2, 3, 4]))
    start = data.draw(st.integers(0, len(SENTENCES[row]) - 1))
    end = data.draw(st.integers(start + 1, len(SENTENCES[row])))
    first, last = touched_tokens(tokens, Spans(np.array([row]), np.array([start]), np.array([end])))
    low, high = tokens.ids.offsets[row : row + 2]
    expected = [i for i in range(low, high) if tokens.starts[i] < end and tokens.ends[i] > start]
    assert list(range(first[0], last[0])) == expected


def test_the_config_and_the_decoding_have_the_same_keys():
    settings = AlignerConfig(threshold=0.7, max_gap_words=2, similarity_weight=0.4, exact_match_score=0.8)
    assert Decoding.from_config(settings) == Decoding(0.7, 2, "mean", 0.4, 0.8, True)


def test_the_similarity_fallback_needs_one_to_one():
    with pytest.raises(ValueError, match="one_to_one"):
        Decoding(similarity_weight=0.5, one_to_one=False)
    with pytest.raises(ValueError, match="similarity_weight"):
        AlignerConfig(one_to_one=False)
