"""`xner refresh`: one refresh, or with --dry-run its plan (`workflows/refresh`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from xner_ray.cli.console import echo, report_user_errors, show, show_json, show_line
from xner_ray.cli.options import AsJson, ConfigFile, Overrides

if TYPE_CHECKING:
    from xner_ray.config import Config
    from xner_ray.workflows.refresh.cost_estimate import RefreshPlan

DryRun = Annotated[bool, typer.Option("--dry-run", help="Print what a refresh would do and cost, and do nothing.")]

Rollback = Annotated[
    bool,
    typer.Option(
        "--rollback",
        help="Make an older version current and pin it: `--rollback 7`, or without a number the one before the current.",
    ),
]
Unpin = Annotated[bool, typer.Option("--unpin", help="Let refreshes promote again after a rollback.")]


def refresh(
    config: ConfigFile,
    overrides: Overrides = None,
    dry_run: DryRun = False,
    rollback: Rollback = False,
    unpin: Unpin = False,
    json_out: AsJson = False,
) -> None:
    """Fetch new and changed corpora, label their new pairs, retrain, and promote students if no language loses F1.

    `xner preflight` runs first. After a failure the promoted students are unchanged. A refresh does not replace a version that
    `--rollback` pinned.

    Example: [cyan]xner refresh configs/paper.yaml data=/corpora --dry-run[/]
    """
    with report_user_errors(resumable=True):
        from xner_ray.config.load import load_config
        from xner_ray.workflows.refresh.dry_run import plan_refresh, refresh_config

        given, version = list(overrides or ()), None
        if rollback and (numbers := [x for x in given if x.isdecimal()]):
            version = int(numbers[0])
            given.remove(numbers[0])
        loaded = load_config(config, given)
        if rollback or unpin:
            _change_current(loaded, version, unpin=unpin)
            return
        if dry_run:
            plan = plan_refresh(loaded, echo)
            show_json(plan.to_json(), indent=1) if json_out else _show_plan(plan)
            return
        from xner_ray.cli.corpus_tables import Lines
        from xner_ray.cli.preflight import run_preflight
        from xner_ray.workflows.refresh.refresh_report import markdown
        from xner_ray.workflows.refresh.run_refresh import run_refresh

        run_preflight(refresh_config(loaded), config, to_stderr=json_out)
        result = run_refresh(loaded, config, echo, Lines())
        show_json(result, indent=1) if json_out else show_line(markdown(result))


def _change_current(config: Config, version: int | None, *, unpin: bool) -> None:
    """Roll back to a version, or unpin the current one."""
    from xner_ray.storage.blob_store import open_blob_store
    from xner_ray.workflows.refresh.dry_run import registry_root
    from xner_ray.workflows.refresh.model_registry import ModelRegistry

    registry = ModelRegistry(open_blob_store(registry_root(config)))
    if unpin:
        echo(f"version {registry.unpin()} stays current until a refresh promotes another one", "green")
        return
    number = registry.roll_back(version)["version"]
    echo(
        f"version {number} is current and pinned; `xner refresh CONFIG --unpin` lets refreshes promote again", "green"
    )


def _show_plan(plan: RefreshPlan) -> None:
    from rich.filesize import decimal
    from rich.table import Table

    table = Table(title="Corpora that a refresh would read", title_justify="left", box=None, pad_edge=False)
    for name in ("corpus", "language", "state"):
        table.add_column(name, no_wrap=True)
    for name in ("pairs to read", "new pairs", "to fetch"):
        table.add_column(name, justify="right", no_wrap=True)
    for c in plan.corpora:
        table.add_row(
            c.source,
            c.language,
            c.state,
            _number(c.lines_to_read),
            _number(c.new_pairs),
            decimal(c.size) if c.size else "",
        )
    total = plan.total()
    table.add_row(
        "all",
        "",
        "",
        _number(total["lines_to_read"]),
        _number(total["new_pairs"]),
        decimal(total["bytes"]),
        style="bold",
    )
    show(table)
    show(_costs_table(plan))
    for note in plan.notes:
        show(f"- {note}")


def _costs_table(plan: RefreshPlan) -> Any:
    from rich.table import Table
    from rich.text import Text

    table = Table(title="\nCost", title_justify="left", box=None, pad_edge=False)
    for name in ("stage", "pairs", "hours", "device", "measurement"):
        table.add_column(name, justify="right" if name in ("pairs", "hours") else "left", vertical="top")
    for cost in plan.costs:
        hours = "?" if cost.hours is None else f"{cost.hours:,.2f}"
        table.add_row(cost.stage, f"{cost.pairs:,}", hours, cost.device, Text(cost.source))
    return table


def _number(value: int | None) -> str:
    return "?" if value is None else f"{value:,}" if value else ""
