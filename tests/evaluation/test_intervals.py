"""Intervals: the whole gold set gives the F1 of `scores`, resamples scatter around it, equal models never differ."""

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
    told = scores(gold, predicted)
    assert types == list(told["types"])
    assert f1(*counts.sum(axis=(0, 1))) == pytest.approx(told["f1"], abs=0.011)
    for i, name in enumerate(types):
        assert f1(*counts[:, i].sum(axis=0)) == pytest.approx(told["types"][name]["f1"], abs=0.011)


def model(right: float, sentences: int = 400, seed: int = 1) -> tuple[list[list[str]], list[list[str]]]:
    """Gold of one entity a sentence, and a model that finds each with a probability."""
    hit = np.random.default_rng(seed).random(sentences) < right
    return [["B-PER", "O"]] * sentences, [["B-PER", "O"] if h else ["O", "B-LOC"] for h in hit]


def test_an_interval_covers_what_the_normal_law_says():
    gold, predicted = model(0.7)
    draws = resample(*sentence_counts(gold, predicted))
    low, high = interval(draws[ALL])
    measured = scores(gold, predicted)["f1"]
    # One entity a sentence, found or another one in its place: F1 is a share of 400, so its deviation is known.
    half = 1.96 * 100 * (0.7 * 0.3 / 400) ** 0.5
    assert low < measured < high
    assert (high - low) / 2 == pytest.approx(half, rel=0.15)


def test_more_sentences_are_surer():
    widths = []
    for sentences in (50, 800):
        low, high = interval(resample(*sentence_counts(*model(0.7, sentences)))[ALL])
        widths.append(high - low)
    assert widths[1] < widths[0] / 2.5


def test_gain_is_paired():
    gold, weak = model(0.6)
    strong = [
        row if row[0] == "B-PER" or i % 10 else gold[i] for i, row in enumerate(weak)
    ]  # a few of the errors less
    results, draws = zip(
        *[(scores(gold, p), resample(*sentence_counts(gold, p))) for p in (weak, strong)], strict=True
    )
    told = gain(*results, draws)
    assert told["f1"] == round(results[1]["f1"] - results[0]["f1"], 2)
    assert told["f1_interval"][0] > 0, "every draw that has one of the mended sentences is better"
    low, high = (interval(d[ALL]) for d in draws)
    assert low[1] > high[0], "the intervals of the two models overlap, yet the gain is sure"
    assert set(told["types"]) == {"LOC", "PER"}
    assert gain(results[0], results[0], (draws[0], draws[0]))["f1_interval"] == [0, 0]


def test_seeds_are_averaged_draw_by_draw():
    assert mean_draws([{ALL: [1.0, 3.0], "PER": [2.0, 2.0]}, {ALL: [3.0, 5.0]}]) == {
        ALL: [2.0, 4.0],
        "PER": [1.0, 1.0],
    }


def test_scores_keep_their_keys():
    gold, predicted = model(0.7, 50)
    plain = scores(gold, predicted)
    told = with_intervals(plain, resample(*sentence_counts(gold, predicted)))
    assert {k: told[k] for k in plain if k != "types"} == {k: plain[k] for k in plain if k != "types"}
    assert set(told["types"]["PER"]) == {*plain["types"]["PER"], "f1_interval"}
