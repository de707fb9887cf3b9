"""The PromQL of the dashboard and the alert rules, and what it asks for: metrics, and labels of theirs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser as promql
import yaml

CLUSTER = Path(__file__).parents[2] / "cluster"
DASHBOARD, RULES = CLUSTER / "grafana" / "xner.json", CLUSTER / "prometheus" / "rules.yaml"
ADDED = {"instance", "job"}  # labels that Prometheus adds when it scrapes
SUFFIXES = ("_bucket", "_count", "_sum")  # of a histogram's series


def dashboard() -> dict[str, Any]:
    return json.loads(DASHBOARD.read_text(encoding="utf-8"))


def targets() -> list[tuple[str, str]]:
    """(panel, expression) of the dashboard, with what Grafana fills in for "All"."""
    found = [(p["title"], t["expr"]) for p in dashboard()["panels"] for t in p.get("targets", [])]
    return [(title, expr.replace("$run", ".*").replace("$SessionName", ".*")) for title, expr in found]


def rules() -> list[tuple[str, str]]:
    """(alert, expression)."""
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return [(rule["alert"], rule["expr"]) for group in groups for rule in group["rules"]]


def variables() -> list[str]:
    """Selectors that the dashboard's variables take their values from, each with the label that it is asked for."""
    asked = [v["query"]["query"] for v in dashboard()["templating"]["list"] if v["type"] == "query"]
    split = [a.removeprefix("label_values(").removesuffix(")").rsplit(", ", 1) for a in asked]
    return [f"sum by ({label}) ({selector.replace('$SessionName', '.*')})" for selector, label in split]


def asked_for(expression: str) -> dict[str, set[str]]:
    """Metric -> labels that an expression selects or groups by. Raises: ValueError where it is no PromQL."""
    found: dict[str, set[str]] = {}
    for name, labels in _selectors(promql.parse(expression), frozenset()):
        found.setdefault(name, set()).update(labels - ADDED)
    return found


def base_name(metric: str) -> str:
    """The name under which a series' metric was declared."""
    stem = next((metric.removesuffix(s) for s in SUFFIXES if metric.endswith(s)), metric)
    return stem.removeprefix("ray_")


def _selectors(node: Any, grouped: frozenset[str]) -> Iterator[tuple[str, frozenset[str]]]:
    kind = type(node).__name__
    if kind == "VectorSelector":
        yield node.name, grouped | {m.name for m in node.matchers.matchers}
    elif kind == "MatrixSelector":
        yield from _selectors(node.vector_selector, grouped)
    elif kind == "AggregateExpr":
        # What a group is matched by further out is there because of this group's own labels.
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
        raise TypeError(f"{kind} is new to this test")
