"""The numbers of a run as plain rows for the page and its charts, unrounded.

Results of older versions may lack numbers (intervals, calibration, the config). The page omits what is missing.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import yaml

from xner_ray import schema
from xner_ray.evaluation.calibration import expected_error
from xner_ray.results.report.filtered_rows import SCORE_BINS, Tally
from xner_ray.results.report.table import duration
from xner_ray.results.run_results import RunResults
from xner_ray.text.cldr import display_name

_OUTCOMES = (
    schema.KEPT,
    schema.KEPT_NO_ENTITY,
    schema.DUPLICATE,
    *schema.DROPPED,
    schema.QUARANTINED,
)
_MODELS = (("zero_transfer", "zero-transfer"), ("student", "student"))
_MACHINE_KEYS = ("out", "data", "ray")  # config sections that name folders and machines


def run_statistics(run: RunResults, tally: Tally) -> dict[str, Any]:
    """Name, settings, scores, ledger, entities, calibration and throughput of a run.

    Args:
        run: a finished run.
        tally: of its filtered rows.
    """
    results = run.results
    # Reports are passed on, so paths and addresses of this machine stay out.
    config = {k: v for k, v in results.get("config", {}).items() if k not in _MACHINE_KEYS}
    versions = dict(results.get("made_with", {}))
    source = config.get("source_language", "en")
    return {
        "name": results["name"],
        "finished": versions.pop("finished", None),
        "versions": versions,
        "plan": results.get("plan", []),
        "config": yaml.safe_dump(config, sort_keys=False, allow_unicode=True) if config else "",
        "corpora": _corpora(run, config),
        "source_language": {"code": source, "name": display_name(source)},
        "sets": [{"name": name, **row} for name, row in results["sets"].items()],
        "source_sets": [{"name": name, **row} for name, row in results["source_sets"].items()],
        "held_out_gold": results.get("held_out_gold", 0),
        # Relative paths, as in `_MACHINE_KEYS`.
        "warnings": [line.replace(f"{results['out']}/", "") for line in results.get("warnings", [])],
        "ledger": _ledger(run),
        "flow": _flow(run),
        "entities": _entities(tally),
        "calibration": _calibration(results),
        "scores": _scores(tally),
        "throughput": _throughput(run),
        "last_run": {stage: duration(s) for stage, s in results["seconds"].items() if s >= 0.5},
    }


def _corpora(run: RunResults, config: dict[str, Any]) -> list[dict[str, Any]]:
    """Each corpus with its domain, format, languages, and the pairs read and kept."""
    formats = {c["name"]: c.get("format", "") for c in config.get("corpora", [])}
    rows: dict[str, dict[str, Any]] = {}
    for cell in run.ledger["cells"]:
        name = cell["corpus"]
        new = {"name": name, "domain": cell["domain"], "languages": [], "read": 0, "kept": 0}
        row = rows.setdefault(name, new | {"format": formats.get(name, "")})
        row["languages"].append(cell["language"])
        row["read"] += cell["counts"].get("read", 0)
        row["kept"] += cell["counts"].get(schema.KEPT, 0) + cell["counts"].get(schema.KEPT_NO_ENTITY, 0)
    return list(rows.values())


def _ledger(run: RunResults) -> dict[str, Any]:
    """The ledger as a table: a column for the total and each language, a row for each outcome of a pair.

    `adds_up` is true if in each column the outcomes sum to the pairs read.
    """
    columns = {"all": run.ledger["total"], **run.ledger["by_language"]}
    counts = {
        name: {outcome: c["dropped"].get(outcome, c.get(outcome, 0)) for outcome in _OUTCOMES} | {"read": c["read"]}
        for name, c in columns.items()
    }
    return {
        "columns": list(columns),
        "read": [column["read"] for column in counts.values()],
        "rows": [(outcome, [column[outcome] for column in counts.values()]) for outcome in _OUTCOMES],
        "adds_up": all(sum(c[outcome] for outcome in _OUTCOMES) == c["read"] for c in counts.values()),
    }


def _flow(run: RunResults) -> dict[str, list[dict[str, Any]]]:
    """For `all` and each language: links from corpora to outcomes, and from kept pairs to the training data."""
    flow = {"all": _links(run, list(run.datasets))}
    return flow | ({language: _links(run, [language]) for language in run.datasets} if len(run.datasets) > 1 else {})


def _links(run: RunResults, languages: list[str]) -> list[dict[str, Any]]:
    links: Counter[tuple[str, str]] = Counter()
    for row in run.ledger["cells"]:
        if row["language"] in languages:
            links.update({(row["corpus"], outcome): n for outcome, n in row["counts"].items() if outcome != "read"})
    outcomes: Counter[str] = Counter()
    for (_, outcome), n in links.items():
        outcomes[outcome] += n
    for outcome, key in ((schema.KEPT, "with_entity"), (schema.KEPT_NO_ENTITY, "without_entity")):
        selected = sum(run.summaries[language][key] for language in languages)
        links[outcome, "training data"], links[outcome, "not selected"] = selected, outcomes[outcome] - selected
    return [{"source": a, "target": b, "value": n} for (a, b), n in sorted(links.items()) if n]


def _entities(tally: Tally) -> list[dict[str, Any]]:
    return [
        {
            "language": language,
            "corpus": corpus,
            "type": kind,
            "teacher": n,
            "kept": tally.kept[language, corpus, kind],
        }
        for (language, corpus, kind), n in sorted(tally.teacher.items())
    ]


def _calibration(results: dict[str, Any]) -> list[dict[str, Any]]:
    """A panel for each gold set: `bins` with their model, and `error`, each model's expected calibration error in percent."""
    panels = [(name, [("teacher", row)]) for name, row in results["source_sets"].items()]
    panels += [(name, [(label, row[key]) for key, label in _MODELS]) for name, row in results["sets"].items()]
    return [
        {
            "name": name,
            "error": {label: 100 * (expected_error(row["calibration"]) or 0) for label, row in models},
            "bins": [
                {**score_bin, "model": label, "accuracy": score_bin["correct"] / score_bin["entities"]}
                for label, row in models
                for score_bin in row["calibration"]
            ],
        }
        for name, models in panels
        if all("calibration" in row for _, row in models)
    ]


def _scores(tally: Tally) -> list[dict[str, Any]]:
    return [
        {"model": model, "pairs": "kept" if kept else "dropped", "low": i / SCORE_BINS, "entities": int(n)}
        for (model, kept), counts in tally.scores.items()
        for i, n in enumerate(counts)
    ]


def _throughput(run: RunResults) -> list[dict[str, Any]]:
    """For each stage and training that was timed: seconds, amount, unit, rate per second."""
    rows: dict[str, dict[str, Any]] = {}
    for work in run.work:
        for unit, amount in work["amount"].items():
            row = rows.setdefault(work["stage"], {"stage": work["stage"], "seconds": 0.0, "amount": 0, "unit": unit})
            row["seconds"] += work["seconds"]
            row["amount"] += amount
    for name, training in run.trainings.items():
        measured = {"seconds": training["seconds"], "amount": training["tokens"], "unit": "tokens"}
        rows[name] = {"stage": f"train {name}", **measured}
    order = {name: i for i, name in enumerate(("ingest", *run.trainings, "label", "filter", "evaluate"))}
    timed = sorted(rows.items(), key=lambda item: (item[0].startswith("student"), order.get(item[0], 0)))
    return [
        {**row, "rate": row["amount"] / max(row["seconds"], 1e-3), "time": duration(row["seconds"])}
        for _, row in timed
    ]
