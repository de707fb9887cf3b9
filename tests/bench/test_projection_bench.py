"""Scores of bench.projection on pairs that can be counted by hand."""

import pytest

from bench.projection_scores import QueriedPair, ceiling, curve, score
from bench.projectors import Exact, agreement, by_query, linked
from xner_ray.alignment.candidates import Projection
from xner_ray.evaluation.project_files import read_gold_pair

SOURCE = "Bonn B-LOC\nbeat O\nParis B-LOC\nand O\nBonn B-LOC\n\nNobody O\n\nAnna B-PER\nand O\nEurope B-LOC\n"
TARGET = "Bonn B-LOC\nschlug O\nParis B-LOC\n\nBonn B-LOC\n\nAnna B-PER\nund O\neuropäische B-MISC\n"


@pytest.fixture
def pair(tmp_path):
    for name, text in (("en", SOURCE), ("de", TARGET)):
        (tmp_path / name).write_text(text, encoding="utf-8")
    return QueriedPair(read_gold_pair(tmp_path / "en", tmp_path / "de", "de"))


def exact(pair):
    texts = [target.text for target in pair.queried.targets]
    return by_query(pair.queried, Exact().project_entities(pair.queried.sources, pair.queried.entities, texts, "de"))


def test_only_pairs_with_an_entity_are_queried(pair):
    assert pair.rows == [0, 2]
    assert pair.queries() == 4  # Bonn occurs twice in one sentence


def test_ceiling_counts_types_by_sentence(pair):
    rows = ceiling(pair)
    all_entities, matched_entities = rows["ceiling, all projected"], rows["ceiling, without what the target lacks"]
    assert all_entities == {"precision": 60.0, "recall": 60.0, "f1": 60.0, "projected": 5}
    assert matched_entities == {"precision": 100.0, "recall": 60.0, "f1": 75.0, "projected": 3}


def test_exact_match_finds_whole_words_in_spaced_languages(pair):
    assert exact(pair) == [[(0, 0, 4, 1.0), (1, 12, 17, 1.0)], [(0, 0, 4, 1.0)]]
    assert Exact().project_entities(["Euro"], [[(0, 4, "ORG")]], ["Europa"], "de") == [[]]
    assert Exact().project_entities(["EU"], [[(0, 2, "ORG")]], ["在EU里"], "zh") == [[(0, 1, 3, 1.0)]]


def test_scores_and_curve(pair):
    row, (_, counts) = score(pair, exact(pair))
    assert (row["precision"], row["recall"], row["f1"]) == (100.0, 60.0, 75.0)
    assert row["low"] <= row["f1"] <= row["high"]
    assert counts.sum(axis=(0, 1)).tolist() == [3, 3, 5]
    unsure = [[Projection(0, 0, 4, 0.9), Projection(1, 5, 11, 0.2)], [Projection(0, 0, 4, 0.8)]]
    result = curve(pair, unsure)
    assert [point["coverage"] for point in result["curve"]] == [0.75, 0.5]
    assert [point["precision"] for point in result["curve"]] == [66.67, 100.0]
    assert [(b["entities"], b["correct"]) for b in result["reliability"]] == [(1, 0), (1, 1), (1, 1)]
    assert result["ece"] == pytest.approx((0.2 + 0.2 + 0.1) / 3, abs=1e-3)


def test_word_alignment_becomes_the_run_with_the_largest_sum():
    words, target = [(0, 3), (4, 8)], [(0, 2), (3, 5), (6, 8), (9, 11), (12, 14)]
    links = [(0, 0, 0.5), (1, 3, 0.9), (1, 4, 0.3), (0, 4, 0.1)]
    assert linked(words, [(0, 8, "LOC")], target, links) == [(0, 9, 14, pytest.approx(0.65))]
    assert linked(words, [(0, 3, "LOC")], target, [(0, 0, 1.0), (0, 2, 1.0)]) == [(0, 0, 8, 1.0)]  # one word between
    assert linked(words, [(4, 8, "LOC")], target, [(0, 0, 1.0)]) == []


def test_agreement_keeps_spans_of_both_projectors():
    first = [[Projection(0, 0, 4, 0.9)], []]
    second = [[Projection(0, 0, 4, 0.5), Projection(1, 5, 9, 0.4)], [Projection(0, 1, 2, 0.3)]]
    assert agreement(first, second) == [[(0, 0, 4, pytest.approx(0.7))], []]
