"""`xner report` and `xner show`: a finished run in the browser and in the terminal."""

from __future__ import annotations

from typing import Annotated

import typer

from xner_ray.cli.console import echo, show
from xner_ray.cli.options import FinishedRun, language_code


def report(
    out: FinishedRun,
    examples: Annotated[
        int, typer.Option("--examples", metavar="N", min=1, help="Approximate number of pairs in its browser.")
    ] = 2000,
) -> None:
    """Write report.html of a finished run again: one file that needs no network. `xner run` writes it too.

    Example: [cyan]xner report out/demo[/]
    """
    from xner_ray.results.report.page import write_report

    echo(f"written to {write_report(out, examples)}", "green")


def show_pairs(
    out: FinishedRun,
    verdict: Annotated[
        str | None,
        typer.Option(
            "--verdict",
            metavar="NAME",
            help="Only pairs with this verdict: kept, kept_no_entity, unmapped, overlap, ...",
        ),
    ] = None,
    language: Annotated[
        str | None, typer.Option("--language", metavar="CODE", help="Only pairs of this target language.")
    ] = None,
    corpus: Annotated[
        str | None, typer.Option("--corpus", metavar="NAME", help="Only pairs of this corpus of the config.")
    ] = None,
    entity_type: Annotated[
        str | None, typer.Option("--type", metavar="TYPE", help="Only pairs with an entity of this type.")
    ] = None,
    min_score: Annotated[
        float | None, typer.Option("--min-score", metavar="S", help="Only pairs whose lowest score is at least S.")
    ] = None,
    max_score: Annotated[
        float | None, typer.Option("--max-score", metavar="S", help="Only pairs whose lowest score is at most S.")
    ] = None,
    n: Annotated[int, typer.Option("-n", metavar="N", min=1, help="Number of pairs.")] = 10,
    seed: Annotated[int, typer.Option("--seed", metavar="S", help="Random seed of the selection.")] = 1,
) -> None:
    """Print pairs of a finished run with their entities, and with the reason why they were kept or dropped.

    Example: [cyan]xner show out/demo --verdict overlap -n 20[/]
    """
    from xner_ray.results.report.filtered_rows import RowFilter
    from xner_ray.results.report.show import find_examples, render_examples

    language = language_code(language) if language else None
    row_filter = RowFilter(verdict, language, corpus, entity_type, min_score, max_score)
    show(render_examples(*find_examples(out, row_filter, n, seed)))
