"""The figures of a run in the shape that page and charts take: plain rows, named as they are shown, nothing rounded away.

A figure that older results lack (intervals, calibration, a config) is left out, and the page leaves its place out too.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import yaml

from xner_ray import schema
from xner_ray.evaluation.calibration import expected_error
from xner_ray.results.report.rows import SCORE_BINS, Tally
from xner_ray.results.report.table import duration
from xner_ray.results.run_results import RunResults

_FATES = (
    schema.KEPT,
    schema.KEPT_NO_ENTITY,
    schema.DUPLICATE,
    *schema.DROPPED,
    schema.QUARANTINED,
)
_SIDES = (("zero_transfer", "zero-transfer"), ("student", "student"))


def figures(run: RunResults, tally: Tally) -> dict[str, Any]:
    """Name, settings, scores, ledger, entities, calibration and throughput; see the functions below."""
    results = run.results
    # Where it ran is no part of what was run, and reports are passed on.
    config = {k: v for k, v in results.get("config", {}).items() if k not in ("out", "data", "ray")}
    made_with = dict(results.get("made_with", {}))
    return {
        "name": results["name"],
        "finished": made_with.pop("finished", None),
        "versions": made_with,
        "plan": results.get("plan", []),
        "config": yaml.safe_dump(config, sort_keys=False, allow_unicode=True) if config else "",
        "corpora": _corpora(run, config),
        "sets": [{"name": name, **row} for name, row in results["sets"].items()],
        "english": [{"name": name, **row} for name, row in results["english"].items()],
        "held_out_gold": results.get("held_out_gold", 0),
        "ledger": _ledger(run),
        "flow": _flow(run),
        "entities": _entities(tally),
        "calibration": _calibration(results),
        "scores": _scores(tally),
        "throughput": _throughput(run),
        "last_run": {stage: duration(s) for stage, s in results["seconds"].items() if s >= 0.5},
    }


def _corpora(run: RunResults, config: dict[str, Any]) -> list[dict[str, Any]]:
    """Each corpus with its domain, languages, pairs read and pairs kept."""
    known = {c["name"]: c for c in config.get("corpora", [])}
    rows: dict[str, dict[str, Any]] = {}
    for cell in run.ledger["cells"]:
        fresh = {"name": cell["corpus"], "domain": cell["domain"], "languages": [], "read": 0, "kept": 0}
        row = rows.setdefault(cell["corpus"], fresh)
        row["languages"].append(cell["language"])
        row["read"] += cell["counts"].get("read", 0)
        row["kept"] += cell["counts"].get(schema.KEPT, 0) + cell["counts"].get(schema.KEPT_NO_ENTITY, 0)
        row["format"] = known.get(cell["corpus"], {}).get("format", "")
    return list(rows.values())


def _ledger(run: RunResults) -> dict[str, Any]:
    """The books as a table: a column a language and all, a row a fate; `adds_up` says whether each column does."""
    columns = {"all": run.ledger["total"], **run.ledger["by_language"]}
    flat = {
        name: {fate: c["dropped"].get(fate, c.get(fate, 0)) for fate in _FATES} | {"read": c["read"]}
        for name, c in columns.items()
    }
    return {
        "columns": list(columns),
        "read": [column["read"] for column in flat.values()],
        "rows": [(fate, [column[fate] for column in flat.values()]) for fate in _FATES],
        "adds_up": all(sum(c[fate] for fate in _FATES) == c["read"] for c in flat.values()),
    }


def _flow(run: RunResults) -> dict[str, list[dict[str, Any]]]:
    """For `all` and each language: links from corpora to fates, and from what was kept to the training file."""
    flow = {"all": _links(run, list(run.datasets))}
    return flow | ({language: _links(run, [language]) for language in run.datasets} if len(run.datasets) > 1 else {})


def _links(run: RunResults, languages: list[str]) -> list[dict[str, Any]]:
    cells: Counter[tuple[str, str]] = Counter()
    for row in run.ledger["cells"]:
        if row["language"] in languages:
            cells.update({(row["corpus"], fate): n for fate, n in row["counts"].items() if fate != "read"})
    fates: Counter[str] = Counter()
    for (_, fate), n in cells.items():
        fates[fate] += n
    for fate, key in ((schema.KEPT, "with_entity"), (schema.KEPT_NO_ENTITY, "without_entity")):
        chosen = sum(run.summaries[language][key] for language in languages)
        cells[fate, "training data"], cells[fate, "not chosen"] = chosen, fates[fate] - chosen
    return [{"source": a, "target": b, "value": n} for (a, b), n in sorted(cells.items()) if n]


def _entities(tally: Tally) -> list[dict[str, Any]]:
    return [
        {"language": language, "corpus": corpus, "type": kind, "found": n, "kept": tally.kept[language, corpus, kind]}
        for (language, corpus, kind), n in sorted(tally.found.items())
    ]


def _calibration(results: dict[str, Any]) -> list[dict[str, Any]]:
    """A panel a gold set: its `bins` by model, and each model's expected calibration error in percent."""
    panels = [(name, [("teacher", row)]) for name, row in results["english"].items()]
    panels += [(name, [(label, row[key]) for key, label in _SIDES]) for name, row in results["sets"].items()]
    return [
        {
            "name": name,
            "error": {label: 100 * (expected_error(row["calibration"]) or 0) for label, row in models},
            "bins": [
                {**one, "model": label, "right": one["correct"] / one["entities"]}
                for label, row in models
                for one in row["calibration"]
            ],
        }
        for name, models in panels
        if all("calibration" in row for _, row in models)
    ]


def _scores(tally: Tally) -> list[dict[str, Any]]:
    return [
        {"model": model, "fate": "kept" if kept else "dropped", "low": i / SCORE_BINS, "entities": int(n)}
        for (model, kept), counts in tally.scores.items()
        for i, n in enumerate(counts)
    ]


def _throughput(run: RunResults) -> list[dict[str, Any]]:
    """A row a stage or model whose work was timed: seconds, amount, unit, rate a second."""
    rows: dict[str, dict[str, Any]] = {}
    for work in run.work:
        for unit, amount in work["amount"].items():
            row = rows.setdefault(work["stage"], {"stage": work["stage"], "seconds": 0.0, "amount": 0, "unit": unit})
            row["seconds"] += work["seconds"]
            row["amount"] += amount
    for name, training in run.trainings.items():
        told = {"seconds": training["seconds"], "amount": training["tokens"], "unit": "tokens"}
        rows[name] = {"stage": f"train {name}", **told}
    order = {name: i for i, name in enumerate(("ingest", *run.trainings, "label", "dataset", "evaluate"))}
    timed = sorted(rows.items(), key=lambda item: (item[0].startswith("student"), order.get(item[0], 0)))
    return [
        {**row, "rate": row["amount"] / max(row["seconds"], 1e-3), "told": duration(row["seconds"])}
        for _, row in timed
    ]
