"""`xner study`: the paper's studies, each a grid of trainings that ends in one table and its figures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from xner_ray.cli.common import comma_list, echo, report_user_errors
from xner_ray.cli.options import ConfigFile, Overrides, command_group
from xner_ray.errors import UserError

Seeds = Annotated[str | None, typer.Option("--seeds", metavar="N,...", help="Seeds; default: the config's.")]
Languages = Annotated[
    str | None, typer.Option("--languages", metavar="CODE,...", help="Target languages; default: the config's.")
]
Csv = Annotated[
    Path | None,
    typer.Option("--csv", metavar="PATH", help="Write the table to this file or folder, and the figures beside it."),
]

study = command_group(
    "The paper's studies: grids of trainings that share a run's labels, each with one table and its figures.\n\n"
    "Grids are keys of the config (`study` in docs/configuration.md); options and key=value go before them. A study that was "
    "stopped goes on where it stopped, and cells that are done are not trained again.\n\n"
    "Example: [cyan]xner study ablation configs/real.yaml data=DIR --languages de --csv docs/results[/]"
)


@study.command()
def ablation(
    config: ConfigFile,
    overrides: Overrides = None,
    seeds: Seeds = None,
    languages: Languages = None,
    csv: Csv = None,
) -> None:
    """Train with and without English, in sequence and mixed, with both losses, beside zero-transfer (the paper's Table 3).

    Example: [cyan]xner study ablation configs/real.yaml data=DIR --languages de --seeds 1,2,3[/]
    """
    _run("ablation", config, overrides, {"seeds": _integers(seeds), "languages": comma_list(languages)}, csv)


@study.command()
def size(
    config: ConfigFile,
    overrides: Overrides = None,
    seeds: Seeds = None,
    languages: Languages = None,
    sizes: Annotated[
        str | None, typer.Option("--sizes", metavar="N,...", help="Projected sentences; default: the config's.")
    ] = None,
    one_seed_above: Annotated[
        int | None, typer.Option("--one-seed-above", metavar="N", help="Train larger sizes with the first seed alone.")
    ] = None,
    csv: Csv = None,
) -> None:
    """Train on more and more projected sentences, from 1,000 in doublings as far as the data goes (the paper's section 5.1).

    Example: [cyan]xner study size configs/real.yaml data=DIR --languages de,zh --sizes 1000,2000,4000[/]
    """
    told = {"seeds": _integers(seeds), "languages": comma_list(languages), "sizes": _integers(sizes, "--sizes")}
    _run("size", config, overrides, {**told, "one_seed_above": one_seed_above}, csv)


@study.command()
def domain(
    config: ConfigFile,
    overrides: Overrides = None,
    seeds: Seeds = None,
    languages: Languages = None,
    csv: Csv = None,
) -> None:
    """Train on each domain of the parallel text and on all, as many sentences of each (the paper's Table 2, Fig. 3 and 4).

    The domains are `study.domain.domains` of the config, a map from a name to corpora.

    Example: [cyan]xner study domain configs/real.yaml data=DIR --languages zh[/]
    """
    _run("domain", config, overrides, {"seeds": _integers(seeds), "languages": comma_list(languages)}, csv)


@study.command()
def loss(
    config: ConfigFile,
    overrides: Overrides = None,
    seeds: Seeds = None,
    languages: Languages = None,
    gammas: Annotated[
        str | None, typer.Option("--gammas", metavar="G,...", help="Exponents of the loss; default: the config's.")
    ] = None,
    frozen: Annotated[
        str | None, typer.Option("--frozen", metavar="N,...", help="Numbers of frozen layers; default: the config's.")
    ] = None,
    csv: Csv = None,
) -> None:
    """Train with each gamma of the reweighted loss and each number of frozen layers.

    Example: [cyan]xner study loss configs/real.yaml data=DIR --languages de --gammas 0,2,4 --frozen 0,6[/]
    """
    told: dict[str, Any] = {"seeds": _integers(seeds), "languages": comma_list(languages)}
    told |= {"gammas": _numbers(gammas, float, "--gammas"), "frozen": _numbers(frozen, int, "--frozen")}
    _run("loss", config, overrides, told, csv)


@study.command()
def page(
    page: Annotated[Path, typer.Argument(metavar="PAGE", help="A Markdown file with marks, such as docs/results.md.")],
    tables: Annotated[
        Path | None,
        typer.Option("--tables", metavar="DIR", help="Folder of the CSVs; default: `results` beside the page."),
    ] = None,
) -> None:
    """Write the studies' tables into a page from their CSVs, and draw their figures anew; needs no run.

    Example: [cyan]xner study page docs/results.md[/]
    """
    from xner_ray.workflows.study.figures import INSTALL, can_draw
    from xner_ray.workflows.study.page import write_page

    found = write_page(page, tables or page.parent / "results")
    echo(f"{page} holds {', '.join(found) or 'no study yet'}", "green")
    if not can_draw():
        echo(f"figures were not drawn anew: {INSTALL}", "yellow")


def _run(name: str, config: Path, overrides: list[str] | None, options: dict[str, Any], csv: Path | None) -> None:
    with report_user_errors(resumable=True):
        given = [f"study.{name}.{key}={json.dumps(value)}" for key, value in options.items() if value is not None]
        from xner_ray.workflows.study.config import load_study_config

        loaded = load_study_config(name, config, [*(overrides or ()), *given])
        from xner_ray.workflows.study.figures import INSTALL, can_draw, draw
        from xner_ray.workflows.study.run import study as run_study
        from xner_ray.workflows.study.table import write_table

        if not can_draw():
            echo(f"no matplotlib here, so the study will end without figures: {INSTALL}", "yellow")
        table, parquet = run_study(name, loaded, config)
        csv = csv or parquet.with_suffix(".csv")
        files = [parquet, write_table(table, csv if csv.suffix == ".csv" else csv / f"{name}.csv")]
        files += draw(name, table, files[-1].parent) if can_draw() else []
        _show(name, table)
        echo("written: " + ", ".join(map(str, files)), "green")


def _show(name: str, table: Any) -> None:
    """The sections of the page, on the terminal."""
    from rich.markdown import Markdown

    from xner_ray.cli.common import show
    from xner_ray.workflows.study.markdown_tables import SECTIONS

    show(Markdown("\n".join(SECTIONS[name](table))))


def _integers(text: str | None, option: str = "--seeds") -> list[int] | None:
    return _numbers(text, int, option)


def _numbers(text: str | None, kind: Any, option: str) -> list[Any] | None:
    try:
        return [kind(x) for x in comma_list(text) or ()] if text is not None else None
    except ValueError:
        raise UserError(f"`{text}` is no list of numbers", key=option, remedy="write e.g. 1,2,3") from None
