import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xner_ray.alignment.span_cleanup import clean_edges
from xner_ray.alignment.spans import Spans


def clean(text, start, end):
    """Start and end of one span after cleanup."""
    spans = clean_edges(["其", text], Spans(np.array([1]), np.array([start]), np.array([end])))
    return int(spans.starts[0]), int(spans.ends[0])


@pytest.mark.parametrize(
    ("text", "part", "expected"),
    [
        ("其父Wayne也曾", "Wa", "Wayne"),
        ("其父Wayne也曾", "yne", "Wayne"),
        ("在《华盛顿邮报》上", "《华盛顿邮报", "华盛顿邮报"),
        ("文森特·坎比写道", "·坎比", "坎比"),
        ("文森特·坎比写道", "文森特·坎比", "文森特·坎比"),
        ("ABC新闻说", "C新闻", "ABC新闻"),
        ("（EU）", "（", ""),
        ("T.O'Gorman先生", "Gorman", "T.O'Gorman"),
    ],
)
def test_edges_are_widened_to_latin_words_and_lose_punctuation(text, part, expected):
    start = text.index(part)
    a, b = clean(text, start, start + len(part))
    assert text[a:b] == expected


@settings(max_examples=200, deadline=None)
@given(st.text("中国 aB1·《.", min_size=1, max_size=12), st.data())
def test_cleanup_is_idempotent_and_stays_inside_the_text(text, data):
    start = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(start + 1, len(text)))
    a, b = clean(text, start, end)
    assert 0 <= a <= b <= len(text)
    if a < b:
        assert clean(text, a, b) == (a, b)
