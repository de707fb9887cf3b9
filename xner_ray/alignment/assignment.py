"""All names of a pair at once: no two of them at one place, and none in more forms than it has mentions.

Asked one by one, `Structural Fund` and `Cohesion Fund` both point to the same words, and a name with one mention finds its
look-alikes too. Here candidates are taken best first, in rounds over all pairs of a shard. What it trades: a confident
mistake keeps the right name out, where independent answers would have shown a conflict.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from xner_ray.alignment.queries import Queries
from xner_ray.text.arrow_lists import changes, codes
from xner_ray.text.arrow_strings import slices

Found = dict[str, np.ndarray]  # candidates, as `decode.spans` returns them


def take(found: Found, some: np.ndarray) -> Found:
    """The candidates of a mask or of positions."""
    return {key: values[some] for key, values in found.items()}


def nothing() -> Found:
    """No candidate, with votes."""
    columns = dict.fromkeys(("query", "start", "end"), np.zeros(0, np.int64))
    return columns | dict.fromkeys(("score", "aligner", "similarity"), np.zeros(0, np.float32))


def distinct(found: Found) -> Found:
    """Ordered by query, start and end, each span of a query once, with its best score."""
    order = np.lexsort((-found["score"], found["end"], found["start"], found["query"]))
    keys = np.stack([found["query"], found["start"], found["end"]])[:, order]
    new = np.ones(len(order), bool)
    new[1:] = (keys[:, 1:] != keys[:, :-1]).any(axis=0)
    return take(found, order[new])


def silent(found: Found, queries: Queries) -> np.ndarray:
    """bool [queries], those without a candidate."""
    none = np.ones(len(queries), bool)
    none[found["query"]] = False
    return none


def join(first: Found, second: Found) -> Found:
    """Candidates of both, ordered by query and start."""
    joined = {key: np.concatenate([values, second[key]]) for key, values in first.items()}
    return take(joined, np.lexsort((joined["end"], joined["start"], joined["query"])))


def chosen(
    found: Found, queries: Queries, texts: Sequence[str], text: np.ndarray, before: Found | None = None
) -> Found:
    """The candidates that are taken, best score first.

    Args:
        texts: the distinct targets.
        text: int64 [queries], the target of each.
        before: candidates that are taken already.

    Returns:
        Candidates of both, of which no two share a character of their pair's target; a name has as many different
        surfaces as it has mentions, each wherever it stands.
    """
    late = np.zeros(len(found["query"]), bool)
    if before is not None:
        late = np.repeat([False, True], [len(before["query"]), len(late)])
        found = {key: np.concatenate([values, found[key]]) for key, values in before.items()}
    query, start, end = found["query"], found["start"], found["end"]
    surface = codes(slices(pa.array(texts, pa.string()), text[query], start, end))
    room = np.bincount(queries.mentions[:, 0], minlength=len(queries))
    ranked = np.lexsort((-found["score"], late))
    return take(found, one_to_one(queries.row[query], query, start, end, surface, ranked, room))


def with_shared(found: Found, candidates: Found, queries: Queries) -> Found:
    """`found`, and candidates at just the place of one of them, of names that have none: Trump and Donald Trump, both 特朗普."""
    both = [np.stack([queries.row[x["query"]], x["start"], x["end"]], axis=1) for x in (found, candidates)]
    _, place = np.unique(np.concatenate(both), axis=0, return_inverse=True)
    place = place.ravel()
    known = np.isin(place[len(both[0]) :], place[: len(both[0])])
    return join(found, take(candidates, silent(found, queries)[candidates["query"]] & known))


def one_to_one(
    pair: np.ndarray,
    query: np.ndarray,
    start: np.ndarray,
    end: np.ndarray,
    surface: np.ndarray,
    ranked: np.ndarray,
    room: np.ndarray,
) -> np.ndarray:
    """The same on bare arrays.

    Args:
        pair, query, start, end, surface: [candidates]; a pair, a name of it, characters, a code of their text.
        ranked: a permutation of the candidates, the best first.
        room: int64 [queries], surfaces that each name may take.
    """
    taken, left = np.zeros(len(pair), bool), ranked[np.argsort(pair[ranked], kind="stable")]
    form = query * (int(surface.max(initial=0)) + 1) + surface
    known, forms = np.zeros(len(pair), bool), np.zeros(len(room), np.int64)
    while len(left):
        best = left[changes(pair[left])]  # the first of each pair
        taken[best] = True
        np.add.at(forms, query[best[~known[best]]], 1)
        known = np.isin(form, form[taken])
        winner = np.repeat(best, np.diff(np.append(np.flatnonzero(changes(pair[left])), len(left))))
        beside = (end[left] <= start[winner]) | (start[left] >= end[winner])
        left = left[beside & (known[left] | (forms[query[left]] < room[query[left]]))]
    return taken
