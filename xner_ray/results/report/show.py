"""`xner show`: example pairs on the terminal, drawn from all pairs of a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from xner_ray.errors import UserError
from xner_ray.results.report.examples import VERDICTS, example_from_row
from xner_ray.results.report.filtered_rows import RowFilter, sample_rows
from xner_ray.results.report.page import pair_key, pairs_in_training
from xner_ray.results.report.palette import type_color
from xner_ray.results.run_results import RunResults


def find_examples(out: str | Path, row_filter: RowFilter, n: int, seed: int) -> tuple[list[dict[str, Any]], int]:
    """A sample of the pairs that pass a filter.

    Args:
        out: the output folder of a finished run.
        row_filter: the conditions.
        n: examples to return, at most.
        seed: decides which pairs.

    Returns:
        the examples (see `report.examples.example_from_row`), and how many pairs pass the filter in all.

    Raises:
        UserError: no finished run, or a verdict, language or corpus that it does not have.
    """
    run = RunResults.open(out)
    _check("--verdict", row_filter.verdict, list(VERDICTS))
    _check("--language", row_filter.language, list(run.datasets))
    _check("--corpus", row_filter.corpus, sorted({cell["corpus"] for cell in run.ledger["cells"]}))
    _check("--type", row_filter.type, run.entity_types())
    rows, total = sample_rows(run.filtered_shards, row_filter, n, seed)
    selected = pairs_in_training(rows, run.datasets.values())
    return [example_from_row(row, run.rules, pair_key(row) in selected) for row in rows], total


def _check(option: str, value: str | None, known: Sequence[str]) -> None:
    if value is not None and value not in known:
        raise UserError(f"the run has no `{value}`", key=option, remedy=f"one of {', '.join(known)}")


def render_examples(examples: Sequence[dict[str, Any]], total: int) -> RenderableType:
    """The examples for a terminal: verdict, reason, source and target, with entities in color.

    Args:
        examples: see `find_examples`.
        total: how many pairs pass the filter.
    """
    parts: list[RenderableType] = []
    for pair in examples:
        head = Text(VERDICTS[pair["verdict"]], "bold")
        head.append(f"  {pair['language']} {pair['corpus']} {pair['id']}", "not bold dim")
        parts += [head, Text(pair["reason"], "italic"), _highlighted(pair["source"], pair["entities"])]
        parts += [_highlighted(pair["target"], pair["spans"]), Text()]
    more = "; another --seed shows others" if total > len(examples) else ""
    return Group(*parts, Text(f"{len(examples)} of {total:,} pairs{more}", "dim"))


def _highlighted(text: str, spans: Sequence[Sequence[Any]]) -> Text:
    """`[Berlin LOC .93]` in color. Overlapping spans have all their brackets."""
    by_start = sorted(spans, key=lambda s: (s[0], -s[1]))
    highlighted = Text()
    for i in range(len(text) + 1):
        for _, _, kind, score in (s for s in reversed(by_start) if s[1] == i):
            highlighted.append(f" {kind} {score:.2f}]", f"dim {type_color(kind)}")
        for _, _, kind, _ in (s for s in by_start if s[0] == i):
            highlighted.append("[", f"dim {type_color(kind)}")
        covering = [s for s in by_start if s[0] <= i < s[1]]
        if i < len(text):
            highlighted.append(text[i], f"bold {type_color(covering[-1][2])}" if covering else "")
    return highlighted
