"""Terminal table of the hours of a plan."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.table import Table
from rich.text import Text


def costs_table(stages: Iterable[Any]) -> Table:
    """Hours and price of each stage that is to do.

    Args:
        stages: objects with `stage`, `hours`, `unit`, `source` and `price`, see `workflows.plan_costs.StageCost`.
    """
    table = Table(box=None, pad_edge=False, title="Hours of what is to do", title_justify="left")
    table.add_column("stage", style="bold")
    table.add_column("hours", justify="right", no_wrap=True)
    table.add_column("of a", no_wrap=True)
    table.add_column("cost", justify="right", no_wrap=True)
    table.add_column("measured by")
    for cost in stages:
        hours = "unknown" if cost.hours is None else f"{cost.hours:,.2f}"
        price = "" if cost.price is None else f"{cost.price:,.2f}"
        table.add_row(cost.stage, hours, cost.unit, price, Text(cost.source))
    return table


def disk_and_cost(disk_bytes: int, free_bytes: int, price: float | None) -> str:
    """The line below the table."""
    line = f"disk: about {disk_bytes / 1e9:,.1f} GB, and {free_bytes / 1e9:,.1f} GB are free"
    return line + (f"; cost: about {price:,.2f}" if price is not None else "")
