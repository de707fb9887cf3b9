"""Counts give the F1 of `scores`, resamples vary around it, and equal models have a gain of 0."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xner_ray.evaluation.bootstrap import ALL, gain, interval, mean_draws, resample, sentence_counts, with_intervals
from xner_ray.evaluation.scores import scores

TAGS = st.sampled_from(["O", "B-PER", "I-PER", "B-LOC", "I-LOC"])
PAIRS = st.lists(st.lists(st.tuples(TAGS, TAGS), min_size=1, max_size=6), min_size=1, max_size=8)


def f1(correct: int, predicted: int, gold: int) -> float:
    return round(200 * correct / (predicted + gold), 2) if predicted + gold else 0.0


@settings(max_examples=60, deadline=None)
@given(PAIRS)
def test_counts_give_the_scores(pairs):
    gold, predicted = ([[pair[k] for pair in sentence] for sentence in pairs] for k in (0, 1))
    types, counts = sentence_counts(gold, predicted)
    result = scores(gold, predicted)
    assert types == list(result["types"])
    assert f1(*counts.sum(axis=(0, 1))) == pytest.approx(result["f1"], abs=0.011)
    for i, name in enumerate(types):
        assert f1(*counts[:, i].sum(axis=0)) == pytest.approx(result["types"][name]["f1"], abs=0.011)


def gold_and_predicted(recall: float, sentences: int = 400, seed: int = 1) -> tuple[list[list[str]], list[list[str]]]:
    """Gold with one entity a sentence; a model predicts it with a probability of `recall`, else a wrong one."""
    correct = np.random.default_rng(seed).random(sentences) < recall
    return [["B-PER", "O"]] * sentences, [["B-PER", "O"] if c else ["O", "B-LOC"] for c in correct]


def test_an_interval_has_the_width_of_the_normal_approximation():
    gold, predicted = gold_and_predicted(0.7)
    draws = resample(*sentence_counts(gold, predicted))
    low, high = interval(draws[ALL])
    f1_of_all = scores(gold, predicted)["f1"]
    # One entity and one prediction a sentence: F1 is the mean of 400 Bernoulli trials, so its deviation is known.
    half_width = 1.96 * 100 * (0.7 * 0.3 / 400) ** 0.5
    assert low < f1_of_all < high
    assert (high - low) / 2 == pytest.approx(half_width, rel=0.15)


def test_more_sentences_give_a_narrower_interval():
    widths = []
    for sentences in (50, 800):
        low, high = interval(resample(*sentence_counts(*gold_and_predicted(0.7, sentences)))[ALL])
        widths.append(high - low)
    assert widths[1] < widths[0] / 2.5


def test_a_gain_within_overlapping_intervals_is_detected():
    gold, weak = gold_and_predicted(0.6)
    # A tenth of the errors is corrected.
    strong = [row if row[0] == "B-PER" or i % 10 else gold[i] for i, row in enumerate(weak)]
    results, draws = zip(
        *[(scores(gold, p), resample(*sentence_counts(gold, p))) for p in (weak, strong)], strict=True
    )
    difference = gain(*results, draws)
    assert difference["f1"] == round(results[1]["f1"] - results[0]["f1"], 2)
    assert difference["f1_interval"][0] > 0
    interval_of_weak, interval_of_strong = (interval(d[ALL]) for d in draws)
    assert interval_of_weak[1] > interval_of_strong[0]
    assert set(difference["types"]) == {"LOC", "PER"}


def test_equal_models_have_no_gain():
    gold, predicted = gold_and_predicted(0.6)
    result, draws = scores(gold, predicted), resample(*sentence_counts(gold, predicted))
    assert gain(result, result, (draws, draws))["f1_interval"] == [0, 0]


def test_seeds_are_averaged_draw_by_draw():
    assert mean_draws([{ALL: [1.0, 3.0], "PER": [2.0, 2.0]}, {ALL: [3.0, 5.0]}]) == {
        ALL: [2.0, 4.0],
        "PER": [1.0, 1.0],
    }


def test_intervals_are_added_to_the_keys_of_scores():
    gold, predicted = gold_and_predicted(0.7, 50)
    plain = scores(gold, predicted)
    result = with_intervals(plain, resample(*sentence_counts(gold, predicted)))
    assert {k: result[k] for k in plain if k != "types"} == {k: plain[k] for k in plain if k != "types"}
    assert set(result["types"]["PER"]) == {*plain["types"]["PER"], "f1_interval"}
