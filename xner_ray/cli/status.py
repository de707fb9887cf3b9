"""`xner status` and `xner quarantine`: progress of a run, and the rows that it could not process."""

from __future__ import annotations

from typing import Any

from xner_ray.cli.console import echo, show, show_json
from xner_ray.cli.options import AsJson, RunFolder, command_group

MAX_TABLE_ROWS = 50

quarantine = command_group(
    "List the rows that could not be read, labeled or aligned, and try them again.\n\n"
    "Example: [cyan]xner quarantine list out/demo[/]"
)


def status(out: RunFolder, json_out: AsJson = False) -> None:
    """Print the progress of labeling: shards, pairs per second, and the ledger. It works during a run.

    Example: [cyan]xner status out/demo[/]
    """
    from xner_ray.labeling.status import status as read_status

    progress = read_status(out)
    if json_out:
        show_json(progress)
    else:
        show(_table(progress))


@quarantine.command("list")
def list_rows(out: RunFolder, json_out: AsJson = False) -> None:
    """List quarantined rows with their reasons: a table of the first 50, or with --json all of them, one per line.

    Example: [cyan]xner quarantine list out/demo --json > rows.jsonl[/]
    """
    from xner_ray.labeling.quarantine import quarantined_rows

    rows = quarantined_rows(out)
    if json_out:
        for row in rows.to_pylist():
            show_json(row)
        return
    from rich.table import Table

    title = f"{len(rows):,} quarantined rows" + (f", the first {MAX_TABLE_ROWS}" if len(rows) > MAX_TABLE_ROWS else "")
    table = Table(title=title)
    for name in ("corpus", "language", "pair_id", "stage", "reason", "excerpt"):
        table.add_column(name, overflow="fold")
    for row in rows.slice(0, MAX_TABLE_ROWS).to_pylist():
        table.add_row(*map(str, row.values()))
    show(table)


@quarantine.command("retry")
def retry_rows(out: RunFolder) -> None:
    """Mark the shards with quarantined rows, so that the next `xner label` or `xner run` labels them again.

    Example: [cyan]xner quarantine retry out/demo && xner label configs/demo.yaml[/]
    """
    from xner_ray.labeling.quarantine import retry_quarantined

    shards, rows = retry_quarantined(out)
    echo(f"{rows} rows in {shards} shards are marked; the next `xner label` or `xner run` labels them again", "green")


def _table(progress: dict[str, Any]) -> Any:
    from rich.table import Table
    from rich.text import Text

    shards, pairs, ledger = progress["shards"], progress["pairs"], progress["ledger"]
    table = Table(title=f"{progress['name']}: {progress['root']}", show_header=False)
    table.add_row("shards", f"{shards['done']:,} of {shards['planned']:,} done")
    table.add_row("", f"{shards['in_flight']:,} in flight, {shards['missing']:,} missing")
    table.add_row(
        "pairs", f"{pairs['done']:,} of {pairs['planned']:,} done, {pairs['quarantined']:,} of them quarantined"
    )
    speed = (
        f"{progress['pairs_per_second']:,} pairs/s, {progress['minutes_left']} min left"
        if progress["pairs_per_second"]
        else "idle"
    )
    table.add_row("speed", speed)
    table.add_row("ledger", f"{ledger['read']:,} read")
    for name in ("kept", "kept_no_entity", "quarantined", "not_judged"):
        table.add_row("", f"{ledger[name]:,} {name}")
    for reason, count in ledger["dropped"].items():
        table.add_row("", f"{count:,} dropped: {reason}")
    if progress["damaged_log_lines"]:
        table.add_row("work log", f"{progress['damaged_log_lines']:,} damaged lines were skipped")
    table.add_row("", Text("adds up", "green") if ledger["adds_up"] else Text("does NOT add up", "bold red"))
    return table
