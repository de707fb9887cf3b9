"""A filtered pair as the report shows it: its entities, their projections, the links between them, and the reason of its verdict.

The rules decide the verdict; this module adds the names of the entities that caused it. It handles single rows, a few thousand
per report.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any

from xner_ray import schema

VERDICTS = {
    schema.KEPT: "kept",
    schema.KEPT_NO_ENTITY: "kept, no entity",
    schema.CONTAMINATION: "dropped: contamination",
    "unmapped": "dropped: unmapped",
    "mention_mismatch": "dropped: mention mismatch",
    "overlap": "dropped: overlap",
    "low_score": "dropped: low score",
    schema.QUARANTINED: "quarantined",
}

Row = Mapping[str, Any]
Query = tuple[str, str]  # text and type of an entity; equal entities of a sentence are projected once
Span = Mapping[str, Any]


def example_from_row(row: Row, rules: Mapping[str, Any], selected: bool) -> dict[str, Any]:
    """A filtered pair for the page and the terminal.

    Args:
        row: a row of schema.FILTERED.
        rules: the rules of the run, with the keys of `config.Rules`.
        selected: whether the row is in a training file.

    Returns:
        language, corpus, id, verdict, source, target, reason, selected;
        `score`: the lowest score of the row, None if it has no score;
        `entities`: [start, end, type, score] in the source;
        `spans`: the same in the target, with the type of their entity;
        `links`: [index in entities, index in spans].
        Offsets are code points.
    """
    entities = sorted(row["entities"], key=lambda e: (e["start"], e["end"]))
    spans, links = _spans_and_links(row, entities)
    scores = [x["score"] for x in (*row["entities"], *row["projections"])]
    return {
        "language": row["language"],
        "corpus": row["corpus"],
        "id": row["pair_id"],
        "verdict": row["verdict"],
        "source": row["source"],
        "target": row["target"],
        "reason": _reason(row, rules, selected),
        "selected": selected,
        "score": round(min(scores), 4) if scores else None,
        "entities": [[e["start"], e["end"], e["type"], round(e["score"], 4)] for e in entities],
        "spans": spans,
        "links": links,
    }


def example_from_quarantine(row: Row) -> dict[str, Any]:
    """A quarantined pair in the form of `example_from_row`; its source is an excerpt of both sides, its target is empty.

    Args:
        row: a row of schema.QUARANTINE.
    """
    return {
        "language": row["language"],
        "corpus": row["corpus"],
        "id": row["pair_id"],
        "verdict": schema.QUARANTINED,
        "source": row["excerpt"],
        "target": "",
        "reason": f"Rejected by {row['stage']}: {row['reason'].replace('_', ' ')}",
        "selected": False,
        "score": None,
        "entities": [],
        "spans": [],
        "links": [],
    }


def _spans_and_links(row: Row, entities: Sequence[Span]) -> tuple[list[list], list[list[int]]]:
    """The projections in the target, and which entity each belongs to.

    Equal entities are one query. Its mentions and its projections are linked in order; surplus ones are linked to the last.
    """
    spans: list[list] = []
    links: list[list[int]] = []
    for first, projections in _projections_by_query(row).items():
        query = _query(row, row["entities"][first])
        mentions = [i for i, e in enumerate(entities) if _query(row, e) == query]
        numbers = []
        for span in projections:
            numbers.append(len(spans))
            spans.append([span["start"], span["end"], query[1], round(span["score"], 4)])
        for i in range(max(len(mentions), len(numbers)) if numbers else 0):
            links.append([mentions[min(i, len(mentions) - 1)], numbers[min(i, len(numbers) - 1)]])
    return spans, links


def _projections_by_query(row: Row) -> dict[int, list[Span]]:
    """The projections of each query, by the index of its first entity; sorted by position, without duplicates."""
    first_entity: dict[Query, int] = {}
    for i, entity in enumerate(row["entities"]):
        first_entity.setdefault(_query(row, entity), i)
    best: dict[int, dict[tuple[int, int], Span]] = {i: {} for i in first_entity.values()}
    for span in row["projections"]:
        by_position = best[span["entity"]]
        position = (span["start"], span["end"])
        if position not in by_position or by_position[position]["score"] < span["score"]:
            by_position[position] = span
    return {i: [spans[position] for position in sorted(spans)] for i, spans in best.items()}


def _query(row: Row, entity: Span) -> Query:
    return row["source"][entity["start"] : entity["end"]], entity["type"]


def _reason(row: Row, rules: Mapping[str, Any], selected: bool) -> str:
    queries = _projections_by_query(row)
    names = {i: "“{}” ({})".format(*_query(row, row["entities"][i])) for i in queries}
    verdict = row["verdict"]
    if verdict == schema.KEPT:
        return "Every entity is aligned" + ("." if selected else "; not selected for training.")
    if verdict == schema.KEPT_NO_ENTITY:
        reason = (
            "The target's label conventions drop all entities of the teacher"
            if queries
            else "The teacher found no entity"
        )
        return reason + (
            "." if selected else "; not selected, because `dataset.no_entity_ratio` limits such sentences."
        )
    if verdict == schema.CONTAMINATION:
        return "The target is a sentence of an evaluation file."
    if verdict == "unmapped":
        return f"Not found in the target: {_first_few(names[i] for i, spans in queries.items() if not spans)}."
    if verdict == "mention_mismatch":
        return f"Aligned to different words: {_first_few(_mismatched(row, queries, names))}."
    if verdict == "overlap":
        return f"Aligned to the same words: {_first_few(_overlapping(row, queries, names))}."
    if verdict == "low_score":
        return f"Score below the threshold: {_first_few(_below_threshold(row, rules, queries, names))}."
    if verdict == schema.QUARANTINED:
        return f"Quarantined: {row.get('fault') or 'no reason is recorded'}"
    raise ValueError(f"unknown verdict `{verdict}`")


def _mismatched(row, queries, names) -> Iterable[str]:
    for i, spans in queries.items():
        surfaces = dict.fromkeys(row["target"][s["start"] : s["end"]] for s in spans)
        if len(surfaces) > 1:
            yield f"{names[i]} as {', '.join(f'“{text}”' for text in surfaces)}"


def _overlapping(row, queries, names) -> Iterable[str]:
    for a, b in combinations(queries, 2):
        shared = any(s["start"] < t["end"] and t["start"] < s["end"] for s in queries[a] for t in queries[b])
        same_text = _query(row, row["entities"][a])[0] == _query(row, row["entities"][b])[0]
        if shared or same_text:
            yield f"{names[a]} and {names[b]}"
    for i, spans in queries.items():
        if any(s["start"] < t["end"] and t["start"] < s["end"] for s, t in combinations(spans, 2)):
            yield f"two projections of {names[i]}"


def _below_threshold(row, rules, queries, names) -> Iterable[str]:
    for entity in row["entities"]:
        if entity["score"] < rules["min_entity_score"]:
            yield "“{}” ({})".format(*_query(row, entity)) + f" {entity['score']:.2f} by the teacher"
    for i, spans in queries.items():
        for span in spans:
            if span["score"] < rules["min_projection_score"]:
                yield f"{names[i]} {span['score']:.2f} by the aligner"


def _first_few(parts: Iterable[str], most: int = 3) -> str:
    distinct = list(dict.fromkeys(parts))
    rest = f" and {len(distinct) - most} more" if len(distinct) > most else ""
    return "; ".join(distinct[:most]) + rest
