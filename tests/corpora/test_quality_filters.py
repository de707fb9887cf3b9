"""Quality filters: scores of pairs, and which scores drop a pair."""

from __future__ import annotations

import pyarrow as pa
import pytest

from xner_ray.config import CleanConfig
from xner_ray.corpora.filters.language_id import MIN_CHARS, language_scores
from xner_ray.corpora.filters.quality_filters import SCORES, decide, score_pairs
from xner_ray.errors import UserError
from xner_ray.schema import QUALITY_FILTERS


def scores(pairs: list[tuple[str, str]], **rules) -> pa.Table:
    columns = [pa.array(list(side)) for side in zip(*pairs, strict=True)]
    return score_pairs(columns[0], columns[1], CleanConfig(**rules), ("en", "de"))


def test_thresholds_decide_by_scores():
    pairs = [("Berlin", "BERLIN"), ("Good morning", "Guten Morgen"), ("a", "b" * 45), ("x" * 30, "y" * 30)]
    table = scores(pairs)
    assert table.schema == SCORES and table["target_language"].null_count == 4
    assert table["identical"].to_pylist() == [1, 0, 0, 0]
    assert table["length_ratio"].to_pylist() == pytest.approx([1, 1, 5, 1])

    def decided(**rules) -> list[str | None]:
        return [QUALITY_FILTERS[i] if i >= 0 else None for i in decide(table, CleanConfig(**rules))]

    assert decided() == ["identical_sides", None, "length_ratio", None]
    assert decided(max_length_ratio=5) == ["identical_sides", None, None, None]
    assert decided(drop_identical=False, max_length_ratio=None) == [None] * 4


def test_short_sentences_get_no_language_score():
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


def test_no_pairs_have_no_scores():
    empty = pa.chunked_array([], pa.string())
    assert score_pairs(empty, empty, CleanConfig(min_language_score=0.5), ("en", "de")).num_rows == 0
