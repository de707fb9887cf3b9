"""The Markdown of cards. Text from corpora and configs is escaped, so a name cannot break a table."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import yaml


def front_matter(metadata: Mapping[str, Any]) -> str:
    """Return the YAML block at the top of a card, which the Hugging Face hub reads."""
    return "---\n" + yaml.safe_dump(dict(metadata), allow_unicode=True, sort_keys=False) + "---\n"


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return a table; the cells of `rows` are formatted by `cell`, the header is not escaped."""
    lines = [list(head), ["---"] * len(head), *([cell(x) for x in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def cell(value: Any) -> str:
    """Return a value as a table cell: numbers with separators, text escaped, None and empty text as a dash."""
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
    """Return the text without line breaks, with Markdown's special characters escaped."""
    plain = re.sub(r"\s+", " ", text).replace("<", "&lt;")
    return re.sub(r"([\\|`*_\[\]])", r"\\\1", plain)
