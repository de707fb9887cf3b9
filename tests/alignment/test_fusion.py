"""Two votes: a name that the aligner cut is mended by the similarity's span, and each vote stays with its span."""

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from xner_ray import schema
from xner_ray.alignment.decoding import Decoding
from xner_ray.alignment.ensemble import first_votes, mended
from xner_ray.alignment.projector import Projector, save_projector

NAN = float("nan")


def candidates(rows, votes=NAN):
    """(query, start, end[, score]) of the aligner's; `votes`: of the similarity's, whose score is 0.5."""
    columns = [np.array(c, np.int64) for c in zip(*(row[:3] for row in rows), strict=True)] or [np.zeros(0, int)] * 3
    score = np.array([row[3] if len(row) > 3 else 0.9 for row in rows], np.float32)
    found = first_votes(dict(zip(("query", "start", "end", "score"), (*columns, score), strict=True)))
    return found if votes is NAN else found | {"similarity": np.array(votes, np.float32)}


def mend(found, near, text="A" * 40):
    """Every name is asked about one text."""
    return mended(found, near, [text], np.zeros(10, np.int64))


def spans(found):
    return list(zip(*(found[k].tolist() for k in ("query", "start", "end")), strict=True))


def test_a_cut_name_is_mended():
    found = candidates([(0, 4, 8), (0, 20, 24), (1, 4, 8), (2, 0, 9), (3, 2, 5)])
    near = candidates([(0, 0, 12), (1, 4, 6), (2, 4, 12), (4, 2, 5)], [0.6, 0.7, 0.8, 0.9])
    both = mend(found, near)
    # Held: wide; shorter or shifted: the aligner's own, with the other's vote; beside it, or another name's: no vote.
    assert spans(both) == [(0, 0, 12), (0, 20, 24), (1, 4, 8), (2, 0, 9), (3, 2, 5)]
    np.testing.assert_array_equal(both["similarity"], np.array([0.6, NAN, 0.7, 0.8, NAN], np.float32))
    np.testing.assert_array_equal(both["aligner"], found["aligner"])


def test_two_parts_of_one_name_become_one():
    both = mend(candidates([(0, 0, 3, 0.6), (0, 8, 11, 0.8)]), candidates([(0, 0, 11)], [0.4]))
    assert spans(both) == [(0, 0, 11)] and both["score"].tolist() == [np.float32(0.8)]


def test_words_in_lower_case_at_an_edge_are_not_added():
    text = "von der Union und Anna Berg (CEN) aus"
    found, near = candidates([(0, 8, 13), (1, 18, 22), (2, 18, 22)]), candidates([(0, 0, 17), (1, 4, 33), (2, 18, 37)])
    wide = [text[a:b] for _, a, b in spans(mend(found, near | {"similarity": near["score"]}, text))]
    assert wide == ["Union", "Union und Anna Berg (CEN)", "Anna Berg (CEN)"]


def test_without_opinions_nothing_changes():
    found, none = candidates([(0, 4, 8)]), candidates([], [])
    assert spans(mend(found, none)) == [(0, 4, 8)] and spans(mend(none, found)) == []


spans_of_a_name = st.lists(st.integers(0, 30), min_size=2, max_size=8, unique=True).map(sorted)


@given(st.lists(spans_of_a_name, min_size=1, max_size=4), st.lists(spans_of_a_name, min_size=1, max_size=4))
def test_a_span_only_grows_and_to_an_opinion(mine, theirs):
    def flat(names):
        return [(q, a, b) for q, cuts in enumerate(names) for a, b in zip(cuts[::2], cuts[1::2], strict=False)]

    found, near = flat(mine), flat(theirs)
    both = spans(mend(candidates(found), candidates(near, [0.5] * len(near))))
    assert len(set(both)) == len(both)
    for span in both:
        assert span in found or span in near
    for query, start, end in found:
        holding = [s for s in near if s[0] == query and s[1] <= start and end <= s[2]]
        assert (holding[0] if holding else (query, start, end)) in both


def test_votes_are_in_the_row(folder, tiny):
    """Random weights know equal tokens in equal sentences, so the similarity copies, wherever it is asked."""
    text = "Anna Berg lebt in Ulm"
    entities = [
        [{"start": 0, "end": 9, "type": "PER", "score": 0.9}, {"start": 18, "end": 21, "type": "LOC", "score": 0.9}]
    ]
    pair = pa.table({"source": [text], "target": [text], "entities": pa.array(entities, schema.ENTITIES.type)})

    def project(threshold, fallback=0.7):
        save_projector(folder, Decoding(threshold, 0, similarity_fallback_score=fallback), 1, str(tiny))
        (row,) = Projector.load(folder, "fp32", 256, "cpu").project(pair, "de").to_pylist()
        return row

    silent = project(1.0)
    assert [(p["start"], p["end"], p["score"]) for p in silent] == [(0, 9, np.float32(0.7)), (18, 21, np.float32(0.7))]
    assert all(p["aligner"] is None and p["similarity"] > 0.99 for p in silent)
    sure = project(0.0, fallback=0.0)  # the aligner alone
    assert sure and all(p["aligner"] == p["score"] and p["similarity"] is None for p in sure)
    assert any(p["similarity"] is not None for p in project(0.0))
