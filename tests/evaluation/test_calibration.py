"""Reliability bins hold every entity once, and calibrated scores have an expected error of 0."""

import numpy as np
import pytest

from xner_ray.evaluation.calibration import expected_error, merge, reliability, trusted_score

RNG = np.random.default_rng(1)


def test_every_entity_is_in_one_bin():
    scores = np.array([0.0, 0.05, 0.55, 0.5, 0.999, 1.0], np.float32)
    bins = reliability(scores, np.array([0, 0, 1, 0, 1, 1], bool))
    assert [(b["low"], b["entities"], b["correct"]) for b in bins] == [(0.0, 2, 0), (0.5, 2, 1), (0.9, 2, 2)]
    assert all(b["low"] <= b["score"] <= b["high"] for b in bins)


def test_the_expected_error_is_the_overconfidence():
    scores = RNG.uniform(0.5, 1, 20_000)
    calibrated = reliability(scores, RNG.random(20_000) < scores)
    overconfident = reliability(scores, RNG.random(20_000) < scores - 0.2)
    assert expected_error(calibrated) < 0.02
    assert expected_error(overconfident) == pytest.approx(0.2, abs=0.02)


def test_merged_runs_equal_the_bins_of_all_entities():
    scores, correct = RNG.random(300), RNG.random(300) < 0.5
    parts = [reliability(scores[s], correct[s]) for s in (slice(0, 100), slice(100, 300))]
    whole = reliability(scores, correct)
    for a, b in zip(merge(parts), whole, strict=True):
        assert {k: a[k] for k in a if k != "score"} == {k: b[k] for k in b if k != "score"}
        assert a["score"] == pytest.approx(b["score"], abs=2e-4)


def test_no_entities_have_no_bins_and_no_error():
    assert reliability(np.zeros(0, np.float32), np.zeros(0, bool)) == []
    assert expected_error([]) is None


def test_the_trusted_score_is_one_that_most_correct_entities_reach():
    scores = np.array([0.957] * 90 + [0.759] * 6 + [0.35] * 4 + [0.15] * 50)
    correct = np.array([True] * 100 + [False] * 50)
    assert trusted_score(scores, correct) == 0.75
    assert trusted_score(scores[:30], correct[:30]) is None
