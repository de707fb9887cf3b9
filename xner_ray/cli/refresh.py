"""`xner refresh`: a night of xner_ray/workflows/refresh, or with --dry-run its plan."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xner_ray.cli.common import echo, report_user_errors, show
from xner_ray.cli.options import AsJson, ConfigFile, Overrides

if TYPE_CHECKING:
    from xner_ray.workflows.refresh.cost_estimate import Plan

DryRun = Annotated[bool, typer.Option("--dry-run", help="Print what a night would do and cost, and do nothing.")]


def refresh(
    config: ConfigFile, overrides: Overrides = None, dry_run: DryRun = False, json_out: AsJson = False
) -> None:
    """Take in what is new, train where it is worth it, and promote students that no language loses by.

    New and changed corpora are fetched and ingested, only new pairs are labeled; what fails leaves everything as it was.

    Example: [cyan]xner refresh configs/paper.yaml data=/corpora --dry-run[/]
    """
    night(config, overrides or [], dry_run, json_out)


def night(config: Path, overrides: list[str], dry_run: bool, as_json: bool = False) -> None:
    """Go through a night, or plan it, and print the report or plan on stdout.

    Raises:
        SystemExit: 2 where the night failed by something that can be mended.
    """
    with report_user_errors(resumable=True):
        from xner_ray.config.load import load_config

        loaded = load_config(config, overrides)
        if dry_run:
            from xner_ray.workflows.refresh.dry_run import plan_night

            plan = plan_night(loaded, echo)
            typer.echo(json.dumps(plan.to_json(), ensure_ascii=False, indent=1)) if as_json else _show(plan)
            return
        from xner_ray.cli.corpus_tables import Lines
        from xner_ray.workflows.refresh.refresh_report import markdown
        from xner_ray.workflows.refresh.run_refresh import refresh as go

        report = go(loaded, config, echo, Lines())
        typer.echo(json.dumps(report, ensure_ascii=False, indent=1) if as_json else markdown(report))


def _show(plan: Plan) -> None:
    from rich.filesize import decimal
    from rich.table import Table

    table = Table(title="A night would take in", title_justify="left", box=None, pad_edge=False)
    for name in ("corpus", "language", "state"):
        table.add_column(name, no_wrap=True)
    for name in ("pairs to read", "more than held", "to fetch"):
        table.add_column(name, justify="right", no_wrap=True)
    for c in plan.corpora:
        table.add_row(
            c.what, c.language, c.state, _number(c.to_read), _number(c.more), decimal(c.size) if c.size else ""
        )
    total = plan.total()
    table.add_row("all", "", "", _number(total["read"]), _number(total["more"]), decimal(total["bytes"]), style="bold")
    show(table)
    show(_costs(plan))
    for note in plan.notes:
        show(f"- {note}")


def _costs(plan: Plan) -> Any:
    from rich.table import Table
    from rich.text import Text

    table = Table(title="\nand cost", title_justify="left", box=None, pad_edge=False)
    for name in ("stage", "pairs", "hours", "of", "measured"):
        table.add_column(name, justify="right" if name in ("pairs", "hours") else "left", vertical="top")
    for cost in plan.costs:
        hours = "?" if cost.hours is None else f"{cost.hours:,.2f}"
        table.add_row(cost.stage, f"{cost.pairs:,}", hours, cost.device, Text(cost.source))
    return table


def _number(value: int | None) -> str:
    return "?" if value is None else f"{value:,}" if value else ""
