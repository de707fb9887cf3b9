"""Character spans to word spans: examples of the rule, its properties, and batches against single sentences."""

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xner_ray.text.arrow_kernels import char_lengths, substrings
from xner_ray.text.token_spans import char_to_token_spans
from xner_ray.text.words import tokenize_words


def labeled(text: str, marked: str, language: str = "de") -> list[str]:
    """What an entity that covers `marked` in the text takes."""
    start = text.index(marked)
    cut = tokenize_words(text, language)
    spans = char_to_token_spans(text, [(start, start + len(marked), "X")], cut)
    return [text[a:b] for first, last, _ in spans for a, b in cut[first:last]]


@pytest.mark.parametrize(
    ("text", "marked", "expected"),
    [
        ("in Berlins, ja", "Berlins,", ["Berlins"]),
        ("in Berlins, ja", "Berlin", ["Berlins"]),
        ("in Berlins, ja", "lins, ", ["Berlins"]),
        ("in Berlins, ja", "ins,", []),
        ("der Berlin-Marathon", "Berlin", []),
        ("der Berlin-Marathon", "Berlin-M", ["Berlin-Marathon"]),
        ("(SPD) und", "(SPD)", ["SPD"]),
        ("das „Radio“ und", "„Radio“", ["Radio"]),
        ("das Radnicki (N) und", "Radnicki (N)", ["Radnicki", "(", "N", ")"]),
        ("das Radnicki (N) und", "Radnicki (", ["Radnicki"]),
        ("das (Tom) Seaver und", "(Tom) Seaver", ["(", "Tom", ")", "Seaver"]),
        ("ja, (Tom Seaver", ", (Tom Seaver", ["Tom", "Seaver"]),
        ("ja , und", ",", []),
    ],
)
def test_examples_of_the_rule(text, marked, expected):
    assert labeled(text, marked) == expected


def test_brackets_of_chinese_titles():
    assert labeled("读《时代潮》杂志。", "《时代潮》杂志", "zh") == list("《时代潮》杂志")
    assert labeled("读《时代潮》。", "《时代潮》", "zh") == list("时代潮")


def test_first_entity_takes_a_shared_word():
    spans = char_to_token_spans("Ost-West", [(0, 4, "A"), (4, 8, "B")], tokenize_words("Ost-West", "de"))
    assert spans == [(0, 1, "A")]
    assert char_to_token_spans("", [], []) == []


@settings(deadline=None)
@given(st.text("ab,( )-", min_size=1, max_size=12), st.data())
def test_half_covered_words_without_outer_punctuation(text, data):
    cut = tokenize_words(text, "de")
    start = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(start + 1, len(text)))
    found = char_to_token_spans(text, [(start, end, "X")], cut)
    for first, last, _ in found:
        for a, b in cut[first:last]:
            assert 2 * (min(b, end) - max(a, start)) >= b - a
        assert text[cut[first][0]] not in ",-)"
        assert text[cut[last - 1][0]] not in ",-("
    if not found:  # then no word with a letter is covered by half
        assert not any(2 * (min(b, end) - max(a, start)) >= b - a for a, b in cut if text[a:b].strip(",()-"))


@given(st.lists(st.text(max_size=6), max_size=5), st.data())
def test_substrings_are_python_slices(texts, data):
    skip = data.draw(st.integers(0, len(texts)))
    strings = pa.array(texts, pa.string())[skip:]
    texts = texts[skip:]
    assert char_lengths(strings).tolist() == [len(t) for t in texts]
    picks = []
    for i, text in enumerate(texts):
        start = data.draw(st.integers(0, len(text)))
        picks.append((i, start, data.draw(st.integers(start, len(text)))))
    rows, starts, ends = (pa.array([p[k] for p in picks], pa.int64()).to_numpy() for k in range(3))
    assert substrings(strings, rows, starts, ends).to_pylist() == [texts[i][a:b] for i, a, b in picks]
