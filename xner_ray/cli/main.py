"""The application `xner`: all commands, in the order of its help.

Each command is a few lines over a function that tests call too. Heavy modules are imported inside the commands, so that
`xner --help` answers fast.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import typer
import typer.core

from xner_ray.cli import export, models, preflight, refresh, report, run, status
from xner_ray.cli.console import escape_unencodable, print_traceback, report_user_errors
from xner_ray.cli.corpus import corpus
from xner_ray.cli.corpus_ingest import ingest
from xner_ray.cli.study import study
from xner_ray.cli.text_command import TextCommand

RUN, STAGE, DATA, EXPORT = "Runs", "Single stages", "Models and data", "Export"


class _Group(typer.core.TyperGroup):
    """The group of all commands. It prints user errors."""

    def invoke(self, ctx):
        escape_unencodable()
        with report_user_errors():
            return super().invoke(ctx)


app = typer.Typer(
    cls=_Group,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # a bug keeps Python's traceback
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Train named-entity taggers for other languages from labels of one language and parallel text.\n\n"
    "Start with [cyan]xner run configs/demo.yaml[/]. Each command has --help with an example.",
)

_COMMANDS: dict[str, dict[str, Callable[..., None]]] = {
    RUN: {
        "run": run.run,
        "plan": run.plan,
        "preflight": preflight.preflight,
        "status": status.status,
        "report": report.report,
        "show": report.show_pairs,
        "refresh": refresh.refresh,
    },
    STAGE: {name: run.stage_command(name) for name in run.STAGES},
    DATA: {
        "evaluate": models.evaluate,
        "project": models.project,
        "tag": models.tag,
        "sample": models.sample,
    },
    EXPORT: {"export": export.export, "export-model": export.export_model, "push": export.push},
}
for panel, commands in _COMMANDS.items():
    for name, command in commands.items():
        cls = TextCommand if command is models.tag else None
        app.command(name, cls=cls, rich_help_panel=panel)(command)

corpus.command("ingest")(ingest)
app.add_typer(corpus, name="corpus", rich_help_panel=DATA)
app.add_typer(status.quarantine, name="quarantine", rich_help_panel=RUN)
app.add_typer(study, name="study", rich_help_panel=RUN)


def main() -> None:
    """The entry point of the script `xner`."""
    sys.excepthook = print_traceback
    app()


if __name__ == "__main__":
    main()
