"""Random rows of schema.ALIGNED for property tests, and rows by hand."""

from __future__ import annotations

import pyarrow as pa
from hypothesis import strategies as st

from xner_ray import schema

SCORES = st.sampled_from([0.1, 0.5, 0.9, 1.0])


def spans_in(text: str):
    """(start, end) within a text, never empty."""
    starts = st.integers(0, len(text) - 1)
    return starts.flatmap(lambda a: st.tuples(st.just(a), st.integers(a + 1, min(len(text), a + 3))))


@st.composite
def aligned_rows(draw):
    """A random row of schema.ALIGNED. It has few letters, so that names repeat, and some of several bytes."""
    text = st.text("aé好𝄞 ", min_size=1, max_size=8)
    source, target = draw(text), draw(text)
    entities = []
    for start, end in sorted(draw(st.lists(spans_in(source), max_size=3))):
        kind = draw(st.sampled_from(["PER", "LOC"]))
        entities.append({"start": start, "end": end, "type": kind, "score": draw(SCORES)})
    projections = []
    for i, entity in enumerate(entities):
        if first_equal(source, entities, entity) == i:
            for start, end in draw(st.lists(spans_in(target), max_size=2)):
                projections.append({"entity": i, "start": start, "end": end, "score": draw(SCORES)})
    return {
        "corpus": draw(st.sampled_from(["a", "b"])),
        "domain": "news",
        "language": draw(st.sampled_from(["de", "zh"])),
        "pair_id": draw(st.integers(0, 99)),
        "source": source,
        "target": target,
        "corpus_score": None,
        "entities": entities,
        "projections": draw(st.permutations(projections)),
        "fault": draw(st.sampled_from([None] * 9 + ["align: failed"])),
    }


def first_equal(source: str, entities: list[dict], entity: dict) -> int:
    def key(e):
        return source[e["start"] : e["end"]], e["type"]

    return next(i for i, e in enumerate(entities) if key(e) == key(entity))


def aligned(rows: list[dict]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=schema.ALIGNED)


def row(source="x", target="y", entities=(), projections=(), **other) -> dict:
    """A row by hand; entities as (start, end, type[, score]), projections as (entity, start, end[, score])."""
    base = {"corpus": "c", "domain": "d", "language": "de", "pair_id": 1, "source": source, "target": target}
    names = ("start", "end", "type", "score"), ("entity", "start", "end", "score")
    lists = [
        [dict(zip(n, (*e, 1.0)[:4], strict=True)) for e in part]
        for n, part in zip(names, (entities, projections), strict=True)
    ]
    return base | {"corpus_score": None, "entities": lists[0], "projections": lists[1], "fault": None} | other
