"""The decisions to train and to promote."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xner_ray.workflows.refresh.promotion import Comparison, SetScore, decide_promotion, reasons_to_train

F1 = st.floats(0, 100).map(lambda x: round(x, 2))


def compared(language: str, *scores: tuple[float | None, float]) -> Comparison:
    return Comparison(language, [SetScore(f"s{i}", "gold", a, b) for i, (a, b) in enumerate(scores)])


@given(st.lists(st.tuples(F1, F1), min_size=1, max_size=5), st.floats(0, 5).map(lambda x: round(x, 2)))
def test_promotion_needs_every_language_within_the_allowed_drop(scores, max_f1_drop):
    decision = decide_promotion([compared(str(i), score) for i, score in enumerate(scores)], max_f1_drop)
    assert decision.promote == all(round(after - before, 2) >= -max_f1_drop for before, after in scores)
    assert decision.reasons


def test_decision_names_the_loss():
    decision = decide_promotion([compared("de", (80.0, 84.0)), compared("zh", (60.0, 58.5))], 1.0)
    assert not decision.promote and decision.reasons == ["zh lost 1.5 points, more than the 1 allowed"]


def test_score_of_a_language_is_the_mean_over_its_sets():
    one_set_lost = compared("zh", (60.0, 57.0), (40.0, 44.0))
    assert one_set_lost.change == 0.5 and decide_promotion([one_set_lost], 0.5).promote


def test_new_language_cannot_lose():
    decision = decide_promotion([compared("es", (None, 0.0)), compared("de", (50.0, 50.0))], 0.0)
    assert decision.promote and decision.reasons == ["es: 0, its first student", "de: +0 points"]


@pytest.mark.parametrize(
    ("now", "min_growth", "reasons"),
    [
        ({"de": 104}, 0.05, []),
        ({"de": 105}, 0.05, ["de grew from 100 to 105 sentences"]),
        ({"de": 100}, 0.0, []),
        ({"de": 101}, 0.0, ["de grew from 100 to 101 sentences"]),
        ({"de": 50}, 0.05, []),
        ({"de": 100, "nl": 7}, 0.05, ["nl was never trained"]),
    ],
)
def test_enough_growth_is_a_reason_to_train(now, min_growth, reasons):
    assert reasons_to_train(now, {"de": 100}, min_growth) == reasons


def test_changed_config_is_a_reason_to_train():
    assert reasons_to_train({}, {}, 0.1, ["seed: 1 -> 2"]) == ["changed: seed: 1 -> 2"]
