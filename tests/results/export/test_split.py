"""Splits: stable, near their shares, and equal sentences on one side."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xner_ray.errors import UserError
from xner_ray.results.export.split import SPLITS, assign, parse_shares
from xner_ray.text.sentence_keys import text_keys

SHARES = {"train": 0.8, "validation": 0.1, "test": 0.1}
FROZEN = [1, 0, 2, 0, 1, 0, 0, 0, 0, 0, 0, 0]


def texts(n: int) -> pa.Array:
    return pa.array([f"Satz Nummer {i}" for i in range(n)])


def test_shares_are_met_and_the_seed_decides():
    split = assign(texts(5000), 1, SHARES)
    assert np.abs(np.bincount(split, minlength=3) / 5000 - [0.8, 0.1, 0.1]).max() < 0.02
    assert (split == assign(texts(5000), 1, SHARES)).all()
    assert (split != assign(texts(5000), 2, SHARES)).any()


def test_hashes_are_the_same_in_every_version():
    """A published split must not move: these were written down in 2026."""
    assert assign(texts(12), 1, SHARES).tolist() == FROZEN


def test_everything_can_be_training():
    assert set(assign(texts(2000), 1, parse_shares("1")).tolist()) == {0}


@settings(deadline=None)
@given(st.lists(st.text(), min_size=1, max_size=20), st.integers(0, 2**40))
def test_appended_texts_move_nothing(rows, seed):
    both = assign(pa.array([*rows, "more"], pa.string()), seed, SHARES)
    assert (both[:-1] == assign(pa.array(rows, pa.string()), seed, SHARES)).all()


def test_equal_but_for_case_spaces_and_punctuation():
    keys = text_keys(pa.array(["Hallo, Welt!", "hallo welt", "HALLO  „Welt“", "Hallo Wald", "你好。", "你 好"]))
    assert keys[0] == keys[1] == keys[2] != keys[3]
    assert keys[4] == keys[5]


@pytest.mark.parametrize("text", ["0.5", "0.8,0.3", "a,b", "0.5,0.2,0.2,0.1", "1.5,-0.5"])
def test_bad_shares(text):
    with pytest.raises(UserError, match="shares of train"):
        parse_shares(text)


def test_shares_in_order():
    assert parse_shares("0.7,0.3") == {"train": 0.7, "validation": 0.3}
    assert SPLITS == ("train", "validation", "test")
