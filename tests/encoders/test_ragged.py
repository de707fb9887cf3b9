"""Ragged arrays equal lists of lists."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from xner_ray.encoders.ragged import Ragged, hstack, offsets_of, ranges, tile_rows

rows_strategy = st.lists(st.lists(st.integers(4, 90), min_size=0, max_size=30), max_size=12)


@given(rows_strategy)
def test_rows_cover_all_values(rows):
    ragged = Ragged.from_rows(rows)
    assert ragged.offsets[0] == 0 and ragged.offsets[-1] == len(ragged.values) and len(ragged) == len(rows)
    assert [ragged[i].tolist() for i in range(len(rows))] == rows
    assert ragged.row_ids().tolist() == [i for i, row in enumerate(rows) for _ in row]


@given(rows_strategy, rows_strategy)
def test_hstack_concatenates_row_by_row(left, right):
    n = min(len(left), len(right))
    joined = hstack([Ragged.from_rows(left[:n]), tile_rows([2, 2], n), Ragged.from_rows(right[:n])])
    assert [joined[i].tolist() for i in range(n)] == [[*a, 2, 2, *b] for a, b in zip(left[:n], right[:n], strict=True)]


@given(rows_strategy, st.randoms())
def test_take_selects_rows_in_order(rows, random):
    order = list(range(len(rows)))
    random.shuffle(order)
    taken = Ragged.from_rows(rows).take(np.array(order, np.int64))
    assert [taken[i].tolist() for i in range(len(rows))] == [rows[i] for i in order]


def test_ranges_and_offsets():
    assert ranges(np.array([3, 10]), np.array([2, 3])).tolist() == [3, 4, 10, 11, 12]
    assert offsets_of(np.array([2, 0, 3])).tolist() == [0, 2, 2, 5]
