"""`xner show`: the examples of the report in a terminal, from all rows of a run instead of the report's sample."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from xner_ray.cli.tag import COLORS
from xner_ray.errors import UserError
from xner_ray.results.report.examples import VERDICTS, example
from xner_ray.results.report.page import in_training
from xner_ray.results.report.rows import Filter, find
from xner_ray.results.run_results import RunResults


def examples_of(out: str | Path, wanted: Filter, n: int, seed: int) -> tuple[list[dict[str, Any]], int]:
    """n examples (see `report.examples.example`) that a filter lets pass, and how many pairs it lets pass.

    Raises:
        UserError: no finished run, or a verdict, language or corpus that it does not know.
    """
    run = RunResults.open(out)
    _check("--verdict", wanted.verdict, list(VERDICTS))
    _check("--language", wanted.language, list(run.datasets))
    _check("--corpus", wanted.corpus, sorted({cell["corpus"] for cell in run.ledger["cells"]}))
    rows, there = find(run.judged, wanted, n, seed)
    chosen = in_training(rows, run.datasets.values())
    return [example(row, run.rules, (row["language"], row["corpus"], row["pair_id"]) in chosen) for row in rows], there


def _check(key: str, value: str | None, known: Sequence[str]) -> None:
    if value is not None and value not in known:
        raise UserError(f"`{value}` is not there", key=key, remedy=f"one of {', '.join(known)}")


def examples_text(examples: Sequence[dict[str, Any]], there: int) -> RenderableType:
    """Source above target, entities in color with type and score, and the reason."""
    parts: list[RenderableType] = []
    for pair in examples:
        head = Text(VERDICTS[pair["verdict"]], "bold")
        head.append(f"  {pair['language']} {pair['corpus']} {pair['id']}", "not bold dim")
        parts += [head, Text(pair["reason"], "italic"), _marked(pair["source"], pair["entities"])]
        parts += [_marked(pair["target"], pair["spans"]), Text()]
    more = there - len(examples)
    told = f"{len(examples)} of {there:,} pairs" + ("; another --seed shows others" if more else "")
    return Group(*parts, Text(told, "dim"))


def _marked(text: str, spans: Sequence[Sequence[Any]]) -> Text:
    """`[Berlin LOC .93]`, in color too; of spans that overlap all brackets are there, so nesting can be read."""
    opens = sorted(spans, key=lambda s: (s[0], -s[1]))
    marked = Text()
    for i in range(len(text) + 1):
        for _, _, kind, score in (s for s in reversed(opens) if s[1] == i):
            marked.append(f" {kind} {score:.2f}]", f"dim {COLORS.get(kind, 'blue')}")
        for _, _, kind, _ in (s for s in opens if s[0] == i):
            marked.append("[", f"dim {COLORS.get(kind, 'blue')}")
        inside = [s for s in opens if s[0] <= i < s[1]]
        if i < len(text):
            marked.append(text[i], f"bold {COLORS.get(inside[-1][2], 'blue')}" if inside else "")
    return marked
