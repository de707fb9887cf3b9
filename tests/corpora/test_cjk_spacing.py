"""Spaces between characters of Chinese and Japanese are removed, other spaces stay."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xner_ray.corpora.filters.cjk_spacing import remove_cjk_spaces


def remove(text):
    return remove_cjk_spaces(pa.array([text], pa.large_string()))[0].as_py()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("他 成为 一名 弓箭手 ， 穿 着 斗篷 。", "他成为一名弓箭手，穿着斗篷。"),
        ("位于 Euclid Creek 西南 0.5 mi 处", "位于 Euclid Creek 西南 0.5 mi 处"),
        ("東京 タワー は 高い", "東京タワーは高い"),
        ("我 是 谁", "我是谁"),
        ("a b  c", "a b  c"),
        ("", ""),
    ],
)
def test_examples(text, expected):
    assert remove(text) == expected


@given(st.text("我是谁 aB1，。", max_size=20))
def test_only_spaces_are_removed(text):
    result = remove(text)
    assert result.replace(" ", "") == text.replace(" ", "") and remove(result) == result
