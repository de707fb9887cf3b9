import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xner_ray.alignment.span_cleanup import tidy


def tidied(text, start, end):
    a, b = tidy(["其", text], np.array([1]), np.array([start]), np.array([end]))
    return text[a[0] : b[0]]


@pytest.mark.parametrize(
    ("text", "part", "whole"),
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
def test_edges(text, part, whole):
    at = text.index(part)
    assert tidied(text, at, at + len(part)) == whole


@settings(max_examples=200, deadline=None)
@given(st.text("中国 aB1·《.", min_size=1, max_size=12), st.data())
def test_a_tidy_span_stays_tidy_and_inside(text, data):
    start = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(start + 1, len(text)))
    rows = np.array([0])
    a, b = tidy([text], rows, np.array([start]), np.array([end]))
    assert 0 <= a[0] <= b[0] <= len(text)
    if a[0] < b[0]:
        again = tidy([text], rows, a, b)
        assert (again[0][0], again[1][0]) == (a[0], b[0])
