"""Splits: stable, close to their shares, and equal sentences are in the same split."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xner_ray.errors import UserError
from xner_ray.results.export.split import SPLITS, assign_splits, parse_shares

SHARES = {"train": 0.8, "validation": 0.1, "test": 0.1}
EXPECTED = [1, 0, 2, 0, 1, 0, 0, 0, 0, 0, 0, 0]


def texts(n: int) -> pa.Array:
    return pa.array([f"Satz Nummer {i}" for i in range(n)])


def test_shares_are_met_and_the_seed_changes_the_splits():
    split = assign_splits(texts(5000), 1, SHARES)
    assert np.abs(np.bincount(split, minlength=3) / 5000 - [0.8, 0.1, 0.1]).max() < 0.02
    assert (split == assign_splits(texts(5000), 1, SHARES)).all()
    assert (split != assign_splits(texts(5000), 2, SHARES)).any()


def test_hashes_are_the_same_in_every_version():
    """A published split must not change. The values were recorded in 2026."""
    assert assign_splits(texts(12), 1, SHARES).tolist() == EXPECTED


def test_one_share_puts_everything_into_train():
    assert set(assign_splits(texts(2000), 1, parse_shares("1")).tolist()) == {0}


@settings(deadline=None)
@given(st.lists(st.text(), min_size=1, max_size=20), st.integers(0, 2**40))
def test_appended_texts_change_no_split(rows, seed):
    both = assign_splits(pa.array([*rows, "more"], pa.string()), seed, SHARES)
    assert (both[:-1] == assign_splits(pa.array(rows, pa.string()), seed, SHARES)).all()


@pytest.mark.parametrize("text", ["0.5", "0.8,0.3", "a,b", "0.5,0.2,0.2,0.1", "1.5,-0.5"])
def test_wrong_shares_are_an_error(text):
    with pytest.raises(UserError, match="--split"):
        parse_shares(text)


def test_shares_are_in_the_order_of_splits():
    assert parse_shares("0.7,0.3") == {"train": 0.7, "validation": 0.3}
    assert SPLITS == ("train", "validation", "test")
