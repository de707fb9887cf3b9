"""`xner status` and `xner quarantine`: what a run has done, and what it could not do."""

from __future__ import annotations

import json
from typing import Any

import typer

from xner_ray.cli.common import echo, show
from xner_ray.cli.options import AsJson, RunFolder, command_group

SHOWN = 50

quarantine = command_group(
    "See the rows that could not be read, labeled or aligned, and have them tried again.\n\n"
    "Example: [cyan]xner quarantine list out/mine[/]"
)


def status(out: RunFolder, json_out: AsJson = False) -> None:
    """Show how far labeling is: shards, pairs a second, and the ledger. This may be asked while the run goes on.

    Example: [cyan]xner status out/mine[/]
    """
    from xner_ray.labeling.status import status as read

    told = read(out)
    if json_out:
        typer.echo(json.dumps(told))
    else:
        show(_table(told))


@quarantine.command("list")
def list_rows(out: RunFolder, json_out: AsJson = False) -> None:
    """List quarantined rows with their reasons: a table of the first 50, or with --json all of them, one a line.

    Example: [cyan]xner quarantine list out/mine --json > rows.jsonl[/]
    """
    from xner_ray.labeling.quarantine import quarantined_rows

    table = quarantined_rows(out)
    if json_out:
        for row in table.to_pylist():
            typer.echo(json.dumps(row, ensure_ascii=False))
        return
    from rich.table import Table

    shown = Table(title=f"{len(table):,} quarantined rows" + (f", the first {SHOWN}" if len(table) > SHOWN else ""))
    for name in ("corpus", "language", "pair_id", "stage", "reason", "excerpt"):
        shown.add_column(name, overflow="fold")
    for row in table.slice(0, SHOWN).to_pylist():
        shown.add_row(*map(str, row.values()))
    show(shown)


@quarantine.command("retry")
def retry_rows(out: RunFolder) -> None:
    """Have the shards with quarantined rows labeled again by the next `xner label`.

    Example: [cyan]xner quarantine retry out/mine && xner label mine.yaml[/]
    """
    from xner_ray.labeling.quarantine import retry_quarantined

    shards, rows = retry_quarantined(out)
    echo(f"{rows} rows in {shards} shards will be tried again by the next `xner label` or `xner run`", "green")


def _table(told: dict[str, Any]) -> Any:
    from rich.table import Table

    shards, pairs, ledger = told["shards"], told["pairs"], told["ledger"]
    table = Table(title=f"{told['name']}: {told['root']}", show_header=False)
    table.add_row("shards", f"{shards['done']:,} of {shards['planned']:,} done")
    table.add_row("", f"{shards['in_flight']:,} in flight, {shards['missing']:,} missing")
    table.add_row(
        "pairs", f"{pairs['done']:,} of {pairs['planned']:,} done, {pairs['quarantined']:,} of them quarantined"
    )
    speed = (
        f"{told['pairs_per_second']:,} pairs/s, {told['minutes_left']} min left"
        if told["pairs_per_second"]
        else "idle"
    )
    table.add_row("speed", speed)
    table.add_row("ledger", f"{ledger['read']:,} read")
    for name in ("kept", "kept_no_entity", "quarantined", "not_judged"):
        table.add_row("", f"{ledger[name]:,} {name}")
    for reason, count in ledger["dropped"].items():
        table.add_row("", f"{count:,} dropped: {reason}")
    table.add_row("", "[green]adds up[/]" if ledger["adds_up"] else "[bold red]does NOT add up[/]")
    return table
