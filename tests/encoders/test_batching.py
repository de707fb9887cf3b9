"""Batches hold each row once within the token budget, and `min_cost_batches` finds the cheapest split."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xner_ray.encoders.batching import FIXED_COST_DIVISOR, greedy_batches, min_cost_batches, pad_batch, padding_ratio
from xner_ray.encoders.ragged import Ragged


@pytest.mark.parametrize("split", [greedy_batches, min_cost_batches])
@given(lengths=st.lists(st.integers(1, 200), min_size=1, max_size=60), budget=st.integers(1, 400))
def test_batches_hold_every_row_once_within_budget(split, lengths, budget):
    batches = split(np.array(lengths), budget)
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(lengths)))
    for batch in batches:
        longest = max(lengths[i] for i in batch)
        assert len(batch) == 1 or len(batch) * longest <= budget
    assert 0 <= padding_ratio(np.array(lengths), batches) < 1


@given(st.lists(st.integers(1, 60), min_size=1, max_size=9), st.integers(30, 800))
def test_no_split_of_the_sorted_rows_is_cheaper(lengths, budget):
    def cost(batches):
        return sum(len(b) * max(b) + budget // FIXED_COST_DIVISOR for b in batches)

    rows = sorted(lengths, reverse=True)
    costs = []
    for is_edge in itertools.product([False, True], repeat=len(rows) - 1):
        edges = [0, *(i + 1 for i, edge in enumerate(is_edge) if edge), len(rows)]
        batches = [rows[a:b] for a, b in itertools.pairwise(edges)]
        if all(len(b) == 1 or len(b) * b[0] <= budget for b in batches):
            costs.append(cost(batches))
    found = [[lengths[i] for i in batch] for batch in min_cost_batches(np.array(lengths), budget)]
    assert [n for batch in found for n in batch] == rows and cost(found) == min(costs)


def test_pad_batch():
    padded, mask = pad_batch(Ragged.from_rows([[5], [6, 7, 8]]), np.array([1, 0]), 1)
    assert padded.tolist() == [[6, 7, 8], [5, 1, 1]]
    assert mask.tolist() == [[True, True, True], [True, False, False]]
