"""`xner report` and `xner show`: a finished run to look at, in a browser and in the terminal."""

from __future__ import annotations

from typing import Annotated

import typer

from xner_ray.cli.common import echo, show
from xner_ray.cli.options import FinishedRun


def report(
    out: FinishedRun,
    examples: Annotated[
        int, typer.Option("--examples", metavar="N", min=1, help="Show about so many pairs in its browser.")
    ] = 2000,
) -> None:
    """Write report.html of a finished run anew: one file that needs no network, and that `xner run` writes at its end.

    Example: [cyan]xner report out/demo[/]
    """
    from xner_ray.results.report.page import write_report

    echo(f"written to {write_report(out, examples)}", "green")


def show_pairs(
    out: FinishedRun,
    verdict: Annotated[
        str | None,
        typer.Option(
            "--verdict", metavar="NAME", help="Show only this verdict: kept, kept_no_entity, unmapped, overlap, ..."
        ),
    ] = None,
    language: Annotated[
        str | None, typer.Option("--language", metavar="CODE", help="Show only pairs of this target language.")
    ] = None,
    corpus: Annotated[
        str | None, typer.Option("--corpus", metavar="NAME", help="Show only this corpus, named as in the config.")
    ] = None,
    kind: Annotated[
        str | None, typer.Option("--type", metavar="TYPE", help="Show only pairs with an entity of this type.")
    ] = None,
    low: Annotated[
        float | None, typer.Option("--min-score", metavar="S", help="Show only pairs whose lowest score is S or more.")
    ] = None,
    high: Annotated[
        float | None, typer.Option("--max-score", metavar="S", help="Show only pairs whose lowest score is S or less.")
    ] = None,
    n: Annotated[int, typer.Option("-n", metavar="N", min=1, help="Show so many pairs.")] = 10,
    seed: Annotated[int, typer.Option("--seed", metavar="S", help="Show other pairs with another seed.")] = 1,
) -> None:
    """Show pairs of a finished run with their entities, and why they were kept or dropped.

    Example: [cyan]xner show out/demo --verdict overlap -n 20[/]
    """
    from xner_ray.results.report.judged_rows import RowFilter
    from xner_ray.results.report.show import find_examples, render_examples

    show(render_examples(*find_examples(out, RowFilter(verdict, language, corpus, kind, low, high), n, seed)))
