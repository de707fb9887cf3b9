"""One-to-one assignment of the entities of a sentence pair to spans of its target sentence.

Decoded alone, `Structural Fund` and `Cohesion Fund` both get the same words, and a name with one mention also gets similar
names. Here candidates are taken best score first: no two assigned spans of a pair overlap, and a name gets at most as many
different surface texts as it has mentions. All pairs of a shard are assigned at once, in rounds. The cost: a wrong candidate
with a high score keeps the right one out, where independent decoding would show a conflict.
"""

from __future__ import annotations

import numpy as np

from xner_ray.alignment.candidates import Candidates
from xner_ray.alignment.queries import Queries, QueryTexts
from xner_ray.text.arrow_kernels import dictionary_codes, group_starts


def drop_inner_candidates(candidates: Candidates, row_ids: np.ndarray) -> Candidates:
    """Drop candidates inside a longer candidate of their pair, if their query has another one: the 中国 of 中国银行.

    Args:
        candidates: of all queries of a table.
        row_ids: int64 [candidates], the sentence pair.
    """
    if not len(candidates):
        return candidates
    spans, span_ids = np.unique(
        np.stack([row_ids, candidates.starts, -candidates.ends], axis=1), axis=0, return_inverse=True
    )
    rows, _, ends = spans.T
    end_keys = rows * (int(candidates.ends.max()) + 1) - ends
    is_inner = np.zeros(len(spans), bool)
    is_inner[1:] = (rows[1:] == rows[:-1]) & (np.maximum.accumulate(end_keys)[:-1] >= end_keys[1:])
    inner = is_inner[span_ids.ravel()]
    has_other = ~candidates.take(~inner).unaligned_queries(int(candidates.query_ids.max()) + 1)
    return candidates.take(~(inner & has_other[candidates.query_ids]))


def assign_one_to_one(
    candidates: Candidates, queries: Queries, texts: QueryTexts, assigned: Candidates | None = None
) -> Candidates:
    """Choose candidates greedily, best score first.

    Args:
        candidates: of `queries`.
        queries: all queries of a table.
        texts: of the queries.
        assigned: candidates that were assigned before; they have precedence.

    Returns:
        `assigned` and the chosen candidates. No two of them share a character of a pair's target. A query has at most as
        many different surface texts as mentions; each text may occur several times.
    """
    is_new = np.ones(len(candidates), bool)
    if assigned is not None:
        is_new = np.repeat([False, True], [len(assigned), len(candidates)])
        candidates = assigned.concatenate(candidates)
    surface_ids = dictionary_codes(texts.spans_of(candidates).texts(texts.target_strings))
    ranking = np.lexsort((-candidates.scores, is_new))
    row_ids = queries.rows[candidates.query_ids]
    return candidates.take(select_disjoint(candidates, row_ids, surface_ids, ranking, queries.mention_counts()))


def assign_shared_spans(assigned: Candidates, candidates: Candidates, queries: Queries) -> Candidates:
    """Add candidates of unaligned queries that are exactly the span of another query: Trump and Donald Trump, both 特朗普.

    Args:
        assigned: result of `assign_one_to_one`.
        candidates: the aligner's candidates.
        queries: of both.

    Returns:
        Candidates ordered by query and start.
    """
    keys = [np.stack([queries.rows[c.query_ids], c.starts, c.ends], axis=1) for c in (assigned, candidates)]
    _, span_ids = np.unique(np.concatenate(keys), axis=0, return_inverse=True)
    span_ids = span_ids.ravel()
    is_taken = np.isin(span_ids[len(assigned) :], span_ids[: len(assigned)])
    is_unaligned = assigned.unaligned_queries(len(queries))[candidates.query_ids]
    return assigned.concatenate(candidates.take(is_unaligned & is_taken)).sorted()


def select_disjoint(
    candidates: Candidates, row_ids: np.ndarray, surface_ids: np.ndarray, ranking: np.ndarray, max_surfaces: np.ndarray
) -> np.ndarray:
    """The greedy choice of `assign_one_to_one` on arrays.

    Args:
        candidates: their queries and spans are used.
        row_ids: int64 [candidates], the sentence pair. Only candidates of one pair exclude each other.
        surface_ids: int64 [candidates], equal where the surface text is.
        ranking: int64 [candidates], a permutation of the candidates, the best one first.
        max_surfaces: int64 [queries], number of different surface texts that each query may take.

    Returns:
        bool [candidates], True for the chosen ones.
    """
    query_ids, starts, ends = candidates.query_ids, candidates.starts, candidates.ends
    is_chosen, remaining = np.zeros(len(candidates), bool), ranking[np.argsort(row_ids[ranking], kind="stable")]
    # One number for each (query, surface).
    name_surfaces = query_ids * (int(surface_ids.max(initial=0)) + 1) + surface_ids
    is_known, num_surfaces = np.zeros(len(candidates), bool), np.zeros(len(max_surfaces), np.int64)
    while len(remaining):
        is_best = group_starts(row_ids[remaining])  # the first of each pair
        best = remaining[is_best]
        is_chosen[best] = True
        np.add.at(num_surfaces, query_ids[best[~is_known[best]]], 1)
        is_known = np.isin(name_surfaces, name_surfaces[is_chosen])
        best_of_pair = np.repeat(best, np.diff(np.append(np.flatnonzero(is_best), len(remaining))))
        is_disjoint = (ends[remaining] <= starts[best_of_pair]) | (starts[remaining] >= ends[best_of_pair])
        has_free_surface = num_surfaces[query_ids[remaining]] < max_surfaces[query_ids[remaining]]
        remaining = remaining[is_disjoint & (is_known[remaining] | has_free_surface)]
    return is_chosen
