"""The little Markdown that cards need. What comes from corpora or configs is escaped: a name cannot break a table."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import yaml


def front_matter(told: Mapping[str, Any]) -> str:
    """The YAML block that the hub reads."""
    return "---\n" + yaml.safe_dump(dict(told), allow_unicode=True, sort_keys=False) + "---\n"


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    lines = [list(head), ["---"] * len(head), *([cell(x) for x in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def cell(value: Any) -> str:
    """Numbers as a reader wants them, text escaped, nothing as a dash."""
    if value is None or value == "":
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.2f}"
    return escaped(str(value))


def escaped(text: str) -> str:
    plain = re.sub(r"\s+", " ", text).replace("<", "&lt;")
    return re.sub(r"([\\|`*_\[\]])", r"\\\1", plain)
