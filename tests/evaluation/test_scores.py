"""Scores equal counts by hand and a plain count of spans."""

import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xner_ray.errors import UserError
from xner_ray.evaluation.projection_scores import score_projection
from xner_ray.evaluation.scores import mean_scores, scores

GOLD = [["B-PER", "I-PER", "O", "B-LOC"], ["B-LOC", "O"]]
PREDICTED = [["B-PER", "O", "O", "B-LOC"], ["B-PER", "B-LOC"]]


def test_scores_equal_counts_by_hand():
    result = scores(GOLD, PREDICTED)
    assert {k: result[k] for k in ("precision", "recall", "f1", "support")} == {
        "precision": 25.0,
        "recall": 33.33,
        "f1": 28.57,
        "support": 3,
    }
    assert result["types"] == {
        "LOC": {"precision": 50.0, "recall": 50.0, "f1": 50.0, "support": 2},
        "PER": {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 1},
    }


def test_an_i_tag_that_continues_nothing_is_no_entity():
    assert scores([["B-PER"]], [["I-PER"]])["f1"] == 0.0


@pytest.mark.parametrize("predicted", [[["O", "O"]], [["I-PER", "O"]], [["B-PER", "O"]]])
def test_a_value_without_a_denominator_is_zero(predicted):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = scores([["O", "O"]], predicted)
    assert (result["precision"], result["recall"], result["f1"], result["support"]) == (0.0, 0.0, 0.0, 0)
    assert scores([], [])["f1"] == 0.0


tag_lists = st.lists(st.sampled_from(["O", "B-PER", "B-LOC"]), min_size=1, max_size=6)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(tag_lists, tag_lists), min_size=1, max_size=4))
def test_scores_equal_a_plain_count_of_spans(pairs):
    gold = [a[: len(b)] for a, b in pairs]
    predicted = [b[: len(a)] for a, b in pairs]
    by_seqeval, by_spans = scores(gold, predicted), score_projection(gold, predicted)
    for metric in ("precision", "recall", "f1"):
        assert by_seqeval[metric] == pytest.approx(by_spans[metric], abs=0.011)
    assert by_seqeval["support"] == by_spans["gold"]


def test_projection_scores_hold_counts():
    assert score_projection(GOLD, PREDICTED) == {
        "precision": 25.0,
        "recall": 33.33,
        "f1": 28.57,
        "gold": 3,
        "predicted": 4,
        "correct": 1,
    }
    assert score_projection([["O"]], [["O"]])["f1"] == 0.0


@pytest.mark.parametrize("measure", [scores, score_projection])
def test_unequal_lengths_are_an_error_that_names_the_sentence(measure):
    with pytest.raises(UserError, match="2 gold sentences, 1 predicted"):
        measure([["O"], ["O"]], [["O"]])
    with pytest.raises(UserError, match="sentence 2"):
        measure([["O"], ["O"]], [["O"], ["O", "O"]])


def test_mean_scores_have_mean_and_standard_deviation():
    runs = [scores([["B-A", "B-B"]], [["B-A", "O"]]), scores([["B-A", "B-B"]], [["B-A", "B-B"]])]
    mean = mean_scores(runs)
    assert (mean["precision"], mean["recall"], mean["support"], mean["runs"]) == (100.0, 75.0, 2, 2)
    assert mean["std"]["recall"] == 35.36
    assert mean["types"]["B"]["recall"] == 50.0
    assert mean_scores(runs[:1])["std"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0}
    with pytest.raises(UserError):
        mean_scores([])
