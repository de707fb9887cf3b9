"""Keys and rules: what counts as the same pair, and which scores drop one."""

from __future__ import annotations

import unicodedata

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xner_ray.config import CleanConfig
from xner_ray.corpora.filters.language_id import MIN_CHARS, language_scores
from xner_ray.corpora.filters.quality_filters import SCORES, decide, score_pairs
from xner_ray.errors import UserError
from xner_ray.schema import CLEANED
from xner_ray.text.sentence_keys import pair_keys

LAWS = settings(deadline=None)
TEXT = st.text(st.sampled_from("aB1äß中。 .,!?“”«»…\u00a0\u3000！Ａ0-'’€"), max_size=8)


def key(source: str, target: str) -> int:
    return int(pair_keys(pa.array([source]), pa.array([target]))[0])


@LAWS
@given(st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=30))
def test_keys_are_equal_when_letters_and_digits_are(pairs):
    def plain(text: str) -> str:
        return "".join(x for x in text.lower() if unicodedata.category(x)[0] in "LN" or x == "€")

    wanted = [(plain(a), plain(b)) for a, b in pairs]
    columns = [pa.chunked_array([pa.array([x[i] for x in pairs]), pa.array([], pa.string())]) for i in (0, 1)]
    keys = pair_keys(*columns).tolist()
    assert len(set(zip(wanted, keys, strict=True))) == len(set(wanted)) == len(set(keys))


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (("Hello, world!", "Hallo Welt."), ("hello world", "„Hallo, Welt“"), True),
        (("ÄRGER", "x"), ("ärger", "x"), True),
        (("Room 3", "x"), ("Room 4", "x"), False),
        (("ab", "c"), ("a", "bc"), False),
        (("a", "b"), ("b", "a"), False),
    ],
)
def test_examples_of_keys(one, other, same):
    assert (key(*one) == key(*other)) == same


def scores(pairs: list[tuple[str, str]], **rules) -> pa.Table:
    columns = [pa.array(list(side)) for side in zip(*pairs, strict=True)]
    return score_pairs(columns[0], columns[1], CleanConfig(**rules), ("en", "de"))


def test_scores_and_decisions_are_apart():
    pairs = [("Berlin", "BERLIN"), ("Good morning", "Guten Morgen"), ("a", "b" * 45), ("x" * 30, "y" * 30)]
    table = scores(pairs)
    assert table.schema == SCORES and table["target_language"].null_count == 4
    assert table["identical"].to_pylist() == [1, 0, 0, 0]
    assert table["length_ratio"].to_pylist() == pytest.approx([1, 1, 5, 1])

    def decided(**rules) -> list[str | None]:
        return [CLEANED[i] if i >= 0 else None for i in decide(table, CleanConfig(**rules))]

    assert decided() == ["identical_sides", None, "length_ratio", None]
    assert decided(max_length_ratio=5) == ["identical_sides", None, None, None]
    assert decided(drop_identical=False, max_length_ratio=None) == [None] * 4


def test_language_is_judged_where_there_is_enough_of_it():
    pairs = [
        ("The committee will meet again next week.", "Der Ausschuss tritt nächste Woche wieder zusammen."),
        ("The committee will meet again next week.", "The committee meets again the week after next."),
        ("No.", "No."),
    ]
    table = scores(pairs, min_language_score=0.5, drop_identical=False)
    assert decide(table, CleanConfig(min_language_score=0.5, drop_identical=False)).tolist() == [-1, 2, -1]
    assert [x is None for x in table["target_language"].to_pylist()] == [False, False, True]
    assert all(0 <= x <= 1 for x in table["source_language"].to_pylist() if x is not None)
    short = pa.array(["x" * (MIN_CHARS - 1)])
    assert language_scores(short, "de", ("en", "de")).null_count == 1
    with pytest.raises(UserError, match="does not know"):
        language_scores(short, "xx", ("en", "xx"))


def test_no_rows_have_no_scores_and_no_keys():
    empty = pa.chunked_array([], pa.string())
    assert score_pairs(empty, empty, CleanConfig(min_language_score=0.5), ("en", "de")).num_rows == 0
    assert pair_keys(empty, empty).dtype == np.uint64 and len(pair_keys(empty, empty)) == 0
