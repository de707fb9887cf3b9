"""One-to-one assignment: cases by hand, then a slow version on random candidates."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from xner_ray.alignment.assignment import assign_shared_spans, drop_inner_candidates, select_disjoint
from xner_ray.alignment.candidates import Candidates
from xner_ray.alignment.queries import Mentions, Queries


def select(rows, max_surfaces):
    """Chosen rows of (pair, query, start, end, surface), the best row first."""
    pairs, query_ids, starts, ends, surfaces = np.array(rows, np.int64).reshape(-1, 5).T
    candidates = Candidates.create(query_ids, starts, ends, 1.0)
    mask = select_disjoint(candidates, pairs, surfaces, np.arange(len(rows)), np.array(max_surfaces))
    return np.flatnonzero(mask).tolist()


def test_the_best_candidate_excludes_overlapping_ones_of_its_pair():
    assert select([(0, 0, 0, 9, 1), (0, 1, 4, 9, 2), (0, 1, 10, 12, 3)], [1, 1]) == [0, 2]
    assert select([(0, 0, 0, 9, 1), (1, 1, 4, 9, 2)], [1, 1]) == [0, 1]


def test_a_query_has_as_many_surfaces_as_mentions_and_all_occurrences_of_each():
    europe = [(0, 0, 0, 6, 1), (0, 0, 10, 17, 2), (0, 0, 20, 26, 1), (0, 0, 30, 37, 2)]
    assert select(europe, [1]) == [0, 2]
    assert select(europe, [2]) == [0, 1, 2, 3]


def test_no_candidates():
    assert select([], []) == []


def test_an_unaligned_query_may_share_the_exact_span_of_another_one():
    none = np.zeros(0, np.int64)
    names = ["Trump", "Donald Trump", "US"]
    queries = Queries(names, np.arange(3), np.zeros(3, np.int64), np.arange(3), Mentions(none, none, none))
    assigned = Candidates.create(np.array([0]), np.array([0]), np.array([3]), 0.9)
    candidates = Candidates.create(np.array([1, 1, 2]), np.array([0, 1, 0]), np.array([3, 3, 2]), 0.9)
    shared = assign_shared_spans(assigned, candidates, queries)
    assert (shared.query_ids.tolist(), shared.starts.tolist(), shared.ends.tolist()) == ([0, 1], [0, 0], [3, 3])
    assert len(assign_shared_spans(shared, candidates, queries)) == 2


def test_a_place_in_the_name_of_an_organization_is_no_mention_of_it():
    # 中国银行在中国: China twice, the Bank of China once, with a lower score; Beijing only inside of a longer name.
    candidates = Candidates.create(np.array([0, 0, 1, 2]), np.array([0, 5, 0, 1]), np.array([2, 7, 4, 2]), 0.9)
    kept = drop_inner_candidates(candidates, np.zeros(4, np.int64))
    assert list(zip(kept.query_ids, kept.starts, kept.ends, strict=True)) == [(0, 5, 7), (1, 0, 4), (2, 1, 2)]
    assert len(drop_inner_candidates(Candidates.empty(), np.zeros(0, np.int64))) == 0


CANDIDATES = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(0, 8), st.integers(1, 4), st.integers(0, 2)),
    max_size=12,
)


@given(CANDIDATES)
def test_inner_candidates_agree_with_a_loop(candidates):
    rows = [(p, 3 * p + q, a, a + n) for p, q, a, n, _ in candidates]
    inner = [any(p == p2 and c <= a and b <= d and b - a < d - c for p2, _, c, d in rows) for p, _, a, b in rows]
    expected = [
        row
        for row, drop in zip(rows, inner, strict=True)
        if not (drop and any(q == row[1] and not i for (_, q, _, _), i in zip(rows, inner, strict=True)))
    ]
    pairs, query_ids, starts, ends = np.array(rows, np.int64).reshape(-1, 4).T
    kept = drop_inner_candidates(Candidates.create(query_ids, starts, ends, 1.0), pairs)
    assert [r[1:] for r in expected] == list(zip(kept.query_ids, kept.starts, kept.ends, strict=True))


@settings(max_examples=200, deadline=None)
@given(CANDIDATES, st.lists(st.integers(1, 3), min_size=9, max_size=9))
def test_the_choice_agrees_with_a_loop(candidates, max_surfaces):
    rows = [(p, 3 * p + q, a, a + n, s) for p, q, a, n, s in candidates]
    expected, surfaces_of = [], {}
    for i, (pair, query, start, end, surface) in enumerate(rows):
        is_disjoint = all(rows[j][0] != pair or end <= rows[j][2] or rows[j][3] <= start for j in expected)
        surfaces = surfaces_of.setdefault(query, set())
        if is_disjoint and (surface in surfaces or len(surfaces) < max_surfaces[query]):
            expected.append(i)
            surfaces.add(surface)
    assert select(rows, max_surfaces) == expected
