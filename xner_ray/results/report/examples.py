"""A judged row as people look at it: entities, the lines that join them, and why the row was kept or dropped.

The rules say which row falls to which reason; here the reason gets names. Rows come one by one, a few thousand at most.
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


def example(row: Mapping[str, Any], rules: Mapping[str, Any], chosen: bool) -> dict[str, Any]:
    """A row for page and terminal.

    Args:
        row: a row of schema.JUDGED.
        rules: as `config.Rules`.
        chosen: whether the row is in a training file.

    Returns:
        language, corpus, id, verdict, source, target, reason, chosen, score (the lowest; None without any);
        `entities`: [start, end, type, score] in source; `spans`: the same in target, with the type of their entity;
        `links`: [entity, span] by index. Offsets are code points.
    """
    entities = sorted(row["entities"], key=lambda e: (e["start"], e["end"]))
    spans, links = _joined(row, entities)
    scores = [x["score"] for x in (*row["entities"], *row["projections"])]
    return {
        "language": row["language"],
        "corpus": row["corpus"],
        "id": row["pair_id"],
        "verdict": row["verdict"],
        "source": row["source"],
        "target": row["target"],
        "reason": _reason(row, rules, chosen),
        "chosen": chosen,
        "score": round(min(scores), 4) if scores else None,
        "entities": [[e["start"], e["end"], e["type"], round(e["score"], 4)] for e in entities],
        "spans": spans,
        "links": links,
    }


def quarantined(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of schema.QUARANTINE in the same form: both sides are one excerpt, so there is no target."""
    empty: dict[str, Any] = {"target": "", "chosen": False, "score": None, "entities": [], "spans": [], "links": []}
    told = {"id": row["pair_id"], "verdict": schema.QUARANTINED, "source": row["excerpt"]}
    reason = f"{row['stage']} could not use it: {row['reason'].replace('_', ' ')}"
    return {"language": row["language"], "corpus": row["corpus"], **told, "reason": reason, **empty}


def _joined(row: Mapping[str, Any], entities: Sequence[Mapping[str, Any]]) -> tuple[list[list], list[list[int]]]:
    """Candidates in the target and which entity each belongs to.

    Equal entities are one query, so its mentions and spans are joined in order, and what is left over to the last one.
    """
    spans: list[list] = []
    links: list[list[int]] = []
    for first, found in _queries(row).items():
        name = _name(row, row["entities"][first])
        mentions = [i for i, e in enumerate(entities) if _name(row, e) == name]
        numbers = []
        for span in found:
            numbers.append(len(spans))
            spans.append([span["start"], span["end"], name[1], round(span["score"], 4)])
        for i in range(max(len(mentions), len(numbers)) if numbers else 0):
            links.append([mentions[min(i, len(mentions) - 1)], numbers[min(i, len(numbers) - 1)]])
    return spans, links


def _queries(row: Mapping[str, Any]) -> dict[int, list[Mapping[str, Any]]]:
    """The spans of each distinct (name, type), by its first entity: sorted by place, one listed twice once."""
    firsts: dict[tuple[str, str], int] = {}
    for i, entity in enumerate(row["entities"]):
        firsts.setdefault(_name(row, entity), i)
    found: dict[int, dict[tuple[int, int], Mapping[str, Any]]] = {i: {} for i in firsts.values()}
    for span in row["projections"]:
        place = found[span["entity"]]
        key = (span["start"], span["end"])
        if key not in place or place[key]["score"] < span["score"]:
            place[key] = span
    return {i: [place[key] for key in sorted(place)] for i, place in found.items()}


def _name(row: Mapping[str, Any], entity: Mapping[str, Any]) -> tuple[str, str]:
    return row["source"][entity["start"] : entity["end"]], entity["type"]


def _reason(row: Mapping[str, Any], rules: Mapping[str, Any], chosen: bool) -> str:
    queries = _queries(row)
    names = {i: "“{}” ({})".format(*_name(row, row["entities"][i])) for i in queries}
    verdict = row["verdict"]
    if verdict == schema.KEPT:
        return "Every entity has its place" + ("." if chosen else "; not chosen for training.")
    if verdict == schema.KEPT_NO_ENTITY:
        why = (
            "What the teacher found is none by the target's conventions" if queries else "The teacher found no entity"
        )
        return why + ("." if chosen else "; not chosen, such sentences are rationed.")
    if verdict == schema.CONTAMINATION:
        return "The target is a sentence of an evaluation file."
    if verdict == "unmapped":
        return f"Found nowhere in the target: {_some(names[i] for i, spans in queries.items() if not spans)}."
    if verdict == "mention_mismatch":
        return f"Found as different words: {_some(_different(row, queries, names))}."
    if verdict == "overlap":
        return f"Reach for the same words: {_some(_overlapping(row, queries, names))}."
    if verdict == "low_score":
        return f"Below a threshold: {_some(_low(row, rules, queries, names))}."
    if verdict == schema.QUARANTINED:
        return f"Could not be run: {row.get('fault') or 'no reason was written down'}"
    raise ValueError(f"`{verdict}` is no verdict")


def _different(row, queries, names) -> Iterable[str]:
    for i, spans in queries.items():
        surfaces = dict.fromkeys(row["target"][s["start"] : s["end"]] for s in spans)
        if len(surfaces) > 1:
            yield f"{names[i]} as {', '.join(f'“{text}”' for text in surfaces)}"


def _overlapping(row, queries, names) -> Iterable[str]:
    for a, b in combinations(queries, 2):
        shared = any(s["start"] < t["end"] and t["start"] < s["end"] for s in queries[a] for t in queries[b])
        same_name = _name(row, row["entities"][a])[0] == _name(row, row["entities"][b])[0]
        if shared or same_name:
            yield f"{names[a]} and {names[b]}"
    for i, spans in queries.items():
        if any(s["start"] < t["end"] and t["start"] < s["end"] for s, t in combinations(spans, 2)):
            yield f"two places of {names[i]}"


def _low(row, rules, queries, names) -> Iterable[str]:
    for entity in row["entities"]:
        if entity["score"] < rules["min_entity_score"]:
            yield "“{}” ({})".format(*_name(row, entity)) + f" with {entity['score']:.2f} by the teacher"
    for i, spans in queries.items():
        for span in spans:
            if span["score"] < rules["min_projection_score"]:
                yield f"{names[i]} with {span['score']:.2f} by the aligner"


def _some(parts: Iterable[str], most: int = 3) -> str:
    shown = list(dict.fromkeys(parts))
    rest = f" and {len(shown) - most} more" if len(shown) > most else ""
    return "; ".join(shown[:most]) + rest
