"""Conversion between BIO2 tags and spans."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xner_ray.errors import UserError
from xner_ray.text.tags import bio2_to_spans, label_list, parse_map, spans_to_bio2


@st.composite
def sentences(draw):
    """Spans without overlap, and the length of their sentence."""
    spans, at = [], 0
    for gap, size, kind in draw(
        st.lists(st.tuples(st.integers(0, 2), st.integers(1, 3), st.sampled_from(["PER", "LOC"])))
    ):
        spans.append((at + gap, at + gap + size, kind))
        at += gap + size
    return spans, at + draw(st.integers(0, 2))


@settings(deadline=None)
@given(sentences())
def test_tags_and_spans_are_inverse(sentence):
    spans, length = sentence
    tags = spans_to_bio2(spans, length)
    assert len(tags) == length
    assert bio2_to_spans(tags) == spans


def test_stray_i_starts_a_span():
    assert bio2_to_spans(["I-PER", "I-LOC", "O", "I-LOC"]) == [(0, 1, "PER"), (1, 2, "LOC"), (3, 4, "LOC")]


def test_types_may_contain_hyphens():
    assert bio2_to_spans(["B-GPE-X", "I-GPE-X"]) == [(0, 2, "GPE-X")]


@pytest.mark.parametrize("spans", [[(0, 2, "A"), (1, 3, "B")], [(0, 5, "A")], [(1, 1, "A")], [(-1, 1, "A")]])
def test_bad_spans_are_errors(spans):
    with pytest.raises(UserError):
        spans_to_bio2(spans, 3)


def test_label_list_is_sorted_and_unique():
    assert label_list(["PER", "LOC", "PER"]) == ["O", "B-LOC", "I-LOC", "B-PER", "I-PER"]


def test_parse_map():
    assert parse_map("GPE.NAM=LOC, PER.NOM=O") == {"GPE.NAM": "LOC", "PER.NOM": "O"}
    assert parse_map(None) == parse_map("") == {}
    with pytest.raises(UserError, match="PER"):
        parse_map("PER")
