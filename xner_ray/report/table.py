"""Tables for the terminal: what a run ended with, what a run would do, what a model scores.

Everything here takes the plain dicts that also go to JSON files, so a table never shows a figure that no file holds.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

METRICS = ("precision", "recall", "f1")


def results_table(results: Mapping[str, Any], out: str | None = None) -> RenderableType:
    """The end of `xner run`.

    Args:
        results: the content of results.json: `languages` (evaluation set -> zero_transfer, student, sentences),
            `ledger`, `seconds`; `models` (language -> folder of its student), where there, fills the commands.
        out: the run's output folder.
    """
    parts: list[RenderableType] = [_gains(results["languages"])]
    if results.get("ledger"):
        parts.append(_ledger(results["ledger"]))
    if results.get("seconds"):
        parts.append(_seconds(results["seconds"]))
    if out:
        parts += [Text(f"\nEverything lies in {out}, these figures in {out}/results.json."), _next_steps(results, out)]
    return Group(*parts)


def _gains(languages: Mapping[str, Mapping[str, Any]]) -> Table:
    table = Table(title="Entity scores in percent: zero-transfer -> student", title_justify="left")
    table.add_column("set")
    for who in ("zero", "student"):
        for metric in ("P", "R", "F1"):
            table.add_column(f"{who} {metric}", justify="right")
    table.add_column("gain", justify="right")
    table.add_column("sentences", justify="right")
    for name, row in languages.items():
        before, after = row["zero_transfer"], row["student"]
        cells = [f"{side[metric]:.1f}" for side in (before, after) for metric in METRICS]
        if after.get("runs", 1) > 1:
            cells[-1] += f" ±{after['std']['f1']:.1f}"
        table.add_row(name, *cells, _gain(after["f1"] - before["f1"]), f"{row.get('sentences', 0):,}")
    return table


def _gain(points: float) -> Text:
    shown = f"{points:+.1f}"
    return Text(shown, "bold green" if points >= 0.05 else "bold red" if points <= -0.05 else "dim")


def _ledger(ledger: Mapping[str, Any]) -> Table:
    dropped = dict(ledger.get("dropped", {}))
    out = {"kept": ledger["kept"], "kept, no entity": ledger["kept_no_entity"]}
    out |= {f"dropped: {reason}": n for reason, n in dropped.items()}
    out["quarantined"] = ledger["quarantined"]
    total = sum(out.values())
    table = Table(title="Ledger of the projection, in sentence pairs", title_justify="left")
    table.add_column("")
    table.add_column("pairs", justify="right")
    table.add_column("share", justify="right")
    table.add_row("read", f"{ledger['read']:,}", "", end_section=True)
    for name, n in out.items():
        table.add_row(name, f"{n:,}", f"{100 * n / ledger['read']:.1f}%" if ledger["read"] else "")
    if total == ledger["read"]:
        verdict = Text("adds up: every pair read is accounted for", "green")
    else:
        verdict = Text(
            f"does NOT add up: {total:,} of {ledger['read']:,} accounted for; please report this", "bold red"
        )
    table.caption, table.caption_justify = verdict, "left"
    return table


def _seconds(seconds: Mapping[str, float]) -> Text:
    shown = ", ".join(f"{stage} {duration(s)}" for stage, s in seconds.items())
    return Text(f"Time: {shown}; {duration(sum(seconds.values()))} in all.")


def duration(seconds: float) -> str:
    """`42 s`, `3 min 05 s`, `2 h 07 min`."""
    s = round(seconds)
    if s < 60:
        return f"{s} s"
    if s < 3600:
        return f"{s // 60} min {s % 60:02d} s"
    return f"{s // 3600} h {s % 3600 // 60:02d} min"


def _next_steps(results: Mapping[str, Any], out: str) -> Text:
    language, model = next(iter(results.get("models", {}).items()), ("CODE", f"{out}/STUDENT"))
    return Text.assemble(
        "\nTry a student, then go on with your own data (README.md says what the files look like):\n",
        (
            f"  xner tag --model {shlex.quote(str(model))} --language {language} 'A sentence of that language.'\n",
            "cyan",
        ),
        (
            "  cp configs/demo.yaml mine.yaml  # take out `sample`, list your gold, corpora, evaluation\n",
            "cyan",
        ),
        ("  xner plan mine.yaml data=DIR && xner run mine.yaml data=DIR", "cyan"),
    )


def plan_table(stages: Iterable[tuple[str, str]], out: str) -> Table:
    """Stages and what each would do, as `stages.pipeline.plan` says."""
    table = Table(title=f"Plan for {out}", title_justify="left")
    table.add_column("stage", style="bold")
    table.add_column("state and work")
    for stage, text in stages:
        table.add_row(stage, Text(text))
    return table


def scores_table(scores: Mapping[str, Any], title: str) -> Table:
    """Precision, recall, F1 and support overall and by type (`types`, where there)."""
    table = Table(title=f"{title}: entity scores in percent", title_justify="left")
    table.add_column("type")
    for column in ("precision", "recall", "F1", "gold"):
        table.add_column(column, justify="right")
    rows = [*scores.get("types", {}).items(), ("all", scores)]
    for i, (name, row) in enumerate(rows):
        support = row.get("support", row.get("gold", ""))
        table.add_row(name, *(f"{row[m]:.2f}" for m in METRICS), str(support), end_section=i == len(rows) - 2)
    if "sentences" in scores:
        table.caption, table.caption_justify = f"{scores['sentences']:,} sentences", "left"
    return table
