"""Rows on which a model raises an error are found, and nothing else is left out."""

from __future__ import annotations

import numpy as np
import pytest

from xner_ray.encoders.row_guard import name_failing_row, without_failing_rows
from xner_ray.errors import UserError


def model(*bad: int, crowd: int = 10**9):
    def run(rows: np.ndarray) -> list[int]:
        if len(rows) > crowd:
            raise RuntimeError("too many")
        for row in rows.tolist():
            if row in bad:
                raise ValueError(f"row {row}\nsecond line")
        return [2 * row for row in rows.tolist()]

    return run


@pytest.mark.parametrize("bad", [(), (0,), (99,), (3, 4, 50)])
def test_failing_rows_are_left_out_with_their_reasons(bad):
    guarded = without_failing_rows(model(*bad), 100)
    good = [i for i in range(100) if i not in bad]
    assert guarded.result == [2 * i for i in good] and guarded.rows.tolist() == good
    assert guarded.faults == {row: f"ValueError: row {row}" for row in bad}


def test_all_rows_of_a_small_table_may_fail():
    assert without_failing_rows(model(0, 1), 2).result == []


def test_no_rows():
    assert without_failing_rows(model(), 0).result == []


def test_model_that_fails_on_most_rows_is_an_error():
    with pytest.raises(UserError, match="of 100 rows fail"):
        without_failing_rows(model(*range(80)), 100)


def test_failure_without_a_failing_row_is_raised():
    with pytest.raises(RuntimeError, match="too many"):
        without_failing_rows(model(crowd=20), 100)
    with pytest.raises(RuntimeError, match="too many"):
        name_failing_row(model(crowd=20), 100, "sentence")


def test_user_error_is_raised():
    def run(rows):
        raise UserError("the config is wrong")

    for guard in (lambda: without_failing_rows(run, 9), lambda: name_failing_row(run, 9, "sentence")):
        with pytest.raises(UserError, match="config"):
            guard()


def test_first_failing_row_is_named():
    with pytest.raises(UserError, match="sentence 8 makes the model fail: ValueError: row 7") as caught:
        name_failing_row(model(7, 9), 20, "sentence", "gold.conll")
    assert caught.value.file == "gold.conll" and caught.value.remedy
