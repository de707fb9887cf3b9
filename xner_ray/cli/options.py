"""Arguments and groups that several `xner` commands share; typer alone, so that `xner --help` answers at once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

ConfigFile = Annotated[Path, typer.Argument(metavar="CONFIG", help="A YAML file, such as configs/demo.yaml.")]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="KEY=VALUE",
        help="Override keys, dotted: out=/big/disk student.seeds=\\[1,2].",
        show_default=False,
    ),
]
RunFolder = Annotated[Path, typer.Argument(metavar="OUT", help="The output folder of a run.", show_default=False)]
FinishedRun = Annotated[
    Path, typer.Argument(metavar="OUT", help="The output folder of a finished run.", show_default=False)
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")]


def command_group(text: str) -> typer.Typer:
    """A command with commands below it; without one of them it prints its help."""
    return typer.Typer(
        no_args_is_help=True,
        rich_markup_mode="rich",
        context_settings={"help_option_names": ["-h", "--help"]},
        help=text,
    )
