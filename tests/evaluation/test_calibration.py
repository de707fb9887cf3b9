"""Reliability bins hold every entity once, and a tagger that knows how sure it may be has no error."""

import numpy as np
import pytest

from xner_ray.evaluation.calibration import expected_error, merge, reliability

RNG = np.random.default_rng(1)


def test_every_entity_is_in_one_bin():
    scores = np.array([0.0, 0.05, 0.55, 0.5, 0.999, 1.0], np.float32)
    bins = reliability(scores, np.array([0, 0, 1, 0, 1, 1], bool))
    assert [(b["low"], b["entities"], b["correct"]) for b in bins] == [(0.0, 2, 0), (0.5, 2, 1), (0.9, 2, 2)]
    assert all(b["low"] <= b["score"] <= b["high"] for b in bins)


def test_honest_and_boastful():
    scores = RNG.uniform(0.5, 1, 20_000)
    honest = reliability(scores, RNG.random(20_000) < scores)
    boastful = reliability(scores, RNG.random(20_000) < scores - 0.2)
    assert expected_error(honest) < 0.02
    assert expected_error(boastful) == pytest.approx(0.2, abs=0.02)


def test_runs_add_up():
    scores, correct = RNG.random(300), RNG.random(300) < 0.5
    parts = [reliability(scores[s], correct[s]) for s in (slice(0, 100), slice(100, 300))]
    whole = reliability(scores, correct)
    for a, b in zip(merge(parts), whole, strict=True):
        assert {k: a[k] for k in a if k != "score"} == {k: b[k] for k in b if k != "score"}
        assert a["score"] == pytest.approx(b["score"], abs=2e-4)


def test_nothing_found():
    assert reliability(np.zeros(0, np.float32), np.zeros(0, bool)) == []
    assert expected_error([]) is None
