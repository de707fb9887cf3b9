"""`xner study`: the studies of the paper. Each is a grid of trainings that ends in a table and its figures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from xner_ray.cli.console import echo, report_user_errors, show
from xner_ray.cli.options import ConfigFile, Overrides, Wait, comma_list, command_group, language_list
from xner_ray.errors import UserError

Seeds = Annotated[str | None, typer.Option("--seeds", metavar="N,...", help="Seeds. Default: those of the config.")]
Languages = Annotated[
    str | None, typer.Option("--languages", metavar="CODE,...", help="Target languages. Default: those of the config.")
]
Csv = Annotated[
    Path | None,
    typer.Option("--csv", metavar="PATH", help="File or folder for the table. Figures are written beside it."),
]

study = command_group(
    "Run the studies of the paper: grids of trainings on the labels of one run, with tables and figures.\n\n"
    "The grids are config keys (`study` in docs/configuration.md). Options and key=value override them. A stopped study "
    "continues, and finished cells are not trained again.\n\n"
    "Example: [cyan]xner study ablation configs/real.yaml data=DIR --languages de --csv docs/results[/]"
)


@study.command()
def ablation(
    config: ConfigFile,
    overrides: Overrides = None,
    seeds: Seeds = None,
    languages: Languages = None,
    csv: Csv = None,
    wait: Wait = False,
) -> None:
    """Compare sequential and mixed training, with and without source gold, with two losses, and zero-transfer (Table 3).

    Example: [cyan]xner study ablation configs/real.yaml data=DIR --languages de --seeds 1,2,3[/]
    """
    _run("ablation", config, overrides, _common(seeds, languages), csv, wait)


@study.command()
def size(
    config: ConfigFile,
    overrides: Overrides = None,
    seeds: Seeds = None,
    languages: Languages = None,
    sizes: Annotated[
        str | None,
        typer.Option("--sizes", metavar="N,...", help="Numbers of projected sentences. Default: those of the config."),
    ] = None,
    one_seed_above: Annotated[
        int | None, typer.Option("--one-seed-above", metavar="N", help="Train larger sizes with the first seed only.")
    ] = None,
    csv: Csv = None,
    wait: Wait = False,
) -> None:
    """Train on growing numbers of projected sentences, from 1,000 in doublings up to all (section 5.1 of the paper).

    Example: [cyan]xner study size configs/real.yaml data=DIR --languages de,zh --sizes 1000,2000,4000[/]
    """
    options = {"sizes": _integers(sizes, "--sizes"), "one_seed_above": one_seed_above}
    _run("size", config, overrides, _common(seeds, languages) | options, csv, wait)


@study.command()
def domain(
    config: ConfigFile,
    overrides: Overrides = None,
    seeds: Seeds = None,
    languages: Languages = None,
    csv: Csv = None,
    wait: Wait = False,
) -> None:
    """Train on equally many sentences of each domain of the parallel text, and of all (Table 2, Fig. 3 and 4 of the paper).

    The key `study.domain.domains` maps names of domains to corpora.

    Example: [cyan]xner study domain configs/real.yaml data=DIR --languages zh[/]
    """
    _run("domain", config, overrides, _common(seeds, languages), csv, wait)


@study.command()
def loss(
    config: ConfigFile,
    overrides: Overrides = None,
    seeds: Seeds = None,
    languages: Languages = None,
    gammas: Annotated[
        str | None,
        typer.Option("--gammas", metavar="G,...", help="Exponents of the loss. Default: those of the config."),
    ] = None,
    frozen: Annotated[
        str | None,
        typer.Option("--frozen", metavar="N,...", help="Numbers of frozen layers. Default: those of the config."),
    ] = None,
    csv: Csv = None,
    wait: Wait = False,
) -> None:
    """Train with each gamma of the reweighted loss and each number of frozen layers.

    Example: [cyan]xner study loss configs/real.yaml data=DIR --languages de --gammas 0,2,4 --frozen 0,6[/]
    """
    options = {"gammas": _numbers(gammas, float, "--gammas"), "frozen": _numbers(frozen, int, "--frozen")}
    _run("loss", config, overrides, _common(seeds, languages) | options, csv, wait)


@study.command()
def page(
    page: Annotated[
        Path, typer.Argument(metavar="PAGE", help="A Markdown file with markers for tables, such as docs/results.md.")
    ],
    tables: Annotated[
        Path | None,
        typer.Option("--tables", metavar="DIR", help="Folder of the CSV files. Default: `results` beside the page."),
    ] = None,
) -> None:
    """Write the tables of the studies from their CSV files into a page, and draw the figures again. It needs no run.

    Example: [cyan]xner study page docs/results.md[/]
    """
    from xner_ray.workflows.study.figures import INSTALL, can_draw
    from xner_ray.workflows.study.page import write_page

    studies = write_page(page, tables or page.parent / "results")
    echo(f"{page}: {', '.join(studies) or 'no study yet'}", "green")
    if not can_draw():
        echo(f"figures were not drawn: {INSTALL}", "yellow")


def _common(seeds: str | None, languages: str | None) -> dict[str, Any]:
    """The options that all studies have, as keys of their section."""
    return {"seeds": _integers(seeds), "languages": language_list(languages, "--languages")}


def _run(
    name: str, config: Path, overrides: list[str] | None, options: dict[str, Any], csv: Path | None, wait: bool
) -> None:
    """Run a study, write its table and figures, and print them. `options`: keys of its section; None: not given."""
    with report_user_errors(resumable=True):
        given = [f"study.{name}.{key}={json.dumps(value)}" for key, value in options.items() if value is not None]
        from xner_ray.workflows.study.config import load_study_config

        loaded = load_study_config(name, config, [*(overrides or ()), *given])
        from xner_ray.workflows.study.figures import INSTALL, can_draw, draw
        from xner_ray.workflows.study.run import run_study
        from xner_ray.workflows.study.table import write_table

        if not can_draw():
            echo(f"matplotlib is not installed, so figures will not be drawn: {INSTALL}", "yellow")
        table, parquet = run_study(name, loaded, config, wait=wait)
        csv = csv or parquet.with_suffix(".csv")
        files = [parquet, write_table(table, csv if csv.suffix == ".csv" else csv / f"{name}.csv")]
        files += draw(name, table, files[-1].parent) if can_draw() else []
        _show(name, table)
        echo("written: " + ", ".join(map(str, files)), "green")


def _show(name: str, table: Any) -> None:
    """Print the sections of the page to the terminal."""
    from rich.markdown import Markdown

    from xner_ray.workflows.study.markdown_tables import SECTIONS

    show(Markdown("\n".join(SECTIONS[name](table))))


def _integers(text: str | None, option: str = "--seeds") -> list[int] | None:
    return _numbers(text, int, option)


def _numbers(text: str | None, kind: Any, option: str) -> list[Any] | None:
    try:
        return [kind(x) for x in comma_list(text) or ()] if text is not None else None
    except ValueError:
        raise UserError(f"`{text}` is not a list of numbers", key=option, remedy="write e.g. 1,2,3") from None
