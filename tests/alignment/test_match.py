"""Names of a pair at once: by hand, then the laws on random candidates."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from xner_ray.alignment.assignment import one_to_one, with_shared
from xner_ray.alignment.queries import Queries


def taken(rows, room):
    """rows: (pair, query, start, end, surface), the best first."""
    columns = np.array(rows, np.int64).reshape(-1, 5).T
    mask = one_to_one(*columns, np.arange(len(rows)), np.array(room))
    return np.flatnonzero(mask).tolist()


def test_the_best_goes_first_and_others_go_elsewhere():
    assert taken([(0, 0, 0, 9, 1), (0, 1, 4, 9, 2), (0, 1, 10, 12, 3)], [1, 1]) == [0, 2]
    assert taken([(0, 0, 0, 9, 1), (1, 1, 4, 9, 2)], [1, 1]) == [0, 1]


def test_as_many_forms_as_mentions_and_each_wherever_it_stands():
    europe = [(0, 0, 0, 6, 1), (0, 0, 10, 17, 2), (0, 0, 20, 26, 1), (0, 0, 30, 37, 2)]
    assert taken(europe, [1]) == [0, 2]
    assert taken(europe, [2]) == [0, 1, 2, 3]


def test_nothing():
    assert taken([], []) == []


def test_a_name_without_a_place_may_share_one():
    queries = Queries(
        ["Trump", "Donald Trump", "US"], np.arange(3), np.zeros(3, np.int64), np.arange(3), np.zeros((0, 3))
    )
    found = {"query": np.array([0]), "start": np.array([0]), "end": np.array([3])}
    others = {"query": np.array([1, 1, 2]), "start": np.array([0, 1, 0]), "end": np.array([3, 3, 2])}
    both = with_shared(found, others, queries)
    assert [x.tolist() for x in both.values()] == [[0, 1], [0, 0], [3, 3]]
    assert len(with_shared(both, others, queries)["query"]) == 2


CANDIDATES = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(0, 8), st.integers(1, 4), st.integers(0, 2)),
    max_size=12,
)


@settings(max_examples=200, deadline=None)
@given(CANDIDATES, st.lists(st.integers(1, 3), min_size=9, max_size=9))
def test_agrees_with_a_loop(candidates, room):
    rows = [(p, 3 * p + q, a, a + n, s) for p, q, a, n, s in candidates]
    want, forms = [], {}
    for i, (pair, query, start, end, surface) in enumerate(rows):
        beside = all(rows[j][0] != pair or end <= rows[j][2] or rows[j][3] <= start for j in want)
        seen = forms.setdefault(query, set())
        if beside and (surface in seen or len(seen) < room[query]):
            want.append(i)
            seen.add(surface)
    assert taken(rows, room) == want
