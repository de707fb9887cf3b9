"""The PromQL of the dashboard and the alert rules, and the metrics and labels that it queries."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser as promql
import yaml

CLUSTER = Path(__file__).parents[2] / "cluster"
DASHBOARD, RULES = CLUSTER / "grafana" / "xner.json", CLUSTER / "prometheus" / "rules.yaml"
SCRAPE_LABELS = {"instance", "job"}  # Prometheus adds them
SUFFIXES = ("_bucket", "_count", "_sum")  # of a histogram's series


def dashboard() -> dict[str, Any]:
    return json.loads(DASHBOARD.read_text(encoding="utf-8"))


def targets() -> list[tuple[str, str]]:
    """(panel, expression) of the dashboard, with the values that Grafana fills in for "All"."""
    pairs = [(p["title"], t["expr"]) for p in dashboard()["panels"] for t in p.get("targets", [])]
    return [(title, expr.replace("$run", ".*").replace("$SessionName", ".*")) for title, expr in pairs]


def rules() -> list[tuple[str, str]]:
    """(alert, expression)."""
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return [(rule["alert"], rule["expr"]) for group in groups for rule in group["rules"]]


def variables() -> list[str]:
    """The queries of the dashboard's variables, as PromQL that groups by the queried label."""
    queries = [v["query"]["query"] for v in dashboard()["templating"]["list"] if v["type"] == "query"]
    split = [query.removeprefix("label_values(").removesuffix(")").rsplit(", ", 1) for query in queries]
    return [f"sum by ({label}) ({selector.replace('$SessionName', '.*')})" for selector, label in split]


def queried_labels(expression: str) -> dict[str, set[str]]:
    """Metric -> labels that an expression selects or groups by.

    Raises:
        ValueError: the expression is not PromQL.
    """
    metrics: dict[str, set[str]] = {}
    for name, labels in _selectors(promql.parse(expression), frozenset()):
        metrics.setdefault(name, set()).update(labels - SCRAPE_LABELS)
    return metrics


def base_name(metric: str) -> str:
    """The declared name of the metric of a series."""
    stem = next((metric.removesuffix(s) for s in SUFFIXES if metric.endswith(s)), metric)
    return stem.removeprefix("ray_")


def _selectors(node: Any, grouped: frozenset[str]) -> Iterator[tuple[str, frozenset[str]]]:
    kind = type(node).__name__
    if kind == "VectorSelector":
        yield node.name, grouped | {m.name for m in node.matchers.matchers}
    elif kind == "MatrixSelector":
        yield from _selectors(node.vector_selector, grouped)
    elif kind == "AggregateExpr":
        # An outer matching can only use the labels of this grouping, so the outer labels are not passed on.
        yield from _selectors(node.expr, frozenset(node.modifier.labels) if node.modifier else frozenset())
    elif kind == "Call":
        for argument in node.args:
            yield from _selectors(argument, grouped)
    elif kind == "BinaryExpr":
        matched = getattr(node.modifier, "matching", None)
        both = grouped | frozenset(matched.labels if matched else ())
        yield from _selectors(node.lhs, both)
        yield from _selectors(node.rhs, both)
    elif kind in ("ParenExpr", "UnaryExpr", "SubqueryExpr"):
        yield from _selectors(node.expr, grouped)
    elif kind not in ("NumberLiteral", "StringLiteral"):
        raise TypeError(f"{kind} is not supported")
