"""Arguments and options that several commands share, with the functions that check their values.

It imports typer alone, so that `xner --help` answers fast.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xner_ray.errors import UserError

ConfigFile = Annotated[Path, typer.Argument(metavar="CONFIG", help="A YAML file, such as configs/demo.yaml.")]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="KEY=VALUE",
        help="Config keys to override, dotted: out=/big/disk student.seeds=\\[1,2].",
        show_default=False,
    ),
]
Wait = Annotated[
    bool, typer.Option("--wait", help="If another run uses the output folder, wait for its end instead of an error.")
]
RunFolder = Annotated[Path, typer.Argument(metavar="OUT", help="Output folder of a run.", show_default=False)]
FinishedRun = Annotated[
    Path, typer.Argument(metavar="OUT", help="Output folder of a finished run.", show_default=False)
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
ModelFolder = Annotated[
    Path, typer.Option("--model", metavar="DIR", help="Folder of a trained model.", show_default=False)
]
TagMap = Annotated[
    str | None, typer.Option("--map", metavar="OLD=NEW,...", help="Entity types to rename. O drops a type.")
]


def command_group(text: str) -> typer.Typer:
    """A command with subcommands. Without a subcommand it prints its help."""
    return typer.Typer(
        no_args_is_help=True,
        rich_markup_mode="rich",
        context_settings={"help_option_names": ["-h", "--help"]},
        help=text,
    )


def existing_file(path: Path, key: str, remedy: str = "check the path") -> Path:
    """The path, if it is a file.

    Raises:
        UserError: it is a folder or does not exist.
    """
    if not path.is_file():
        raise UserError("is a folder" if path.is_dir() else "no such file", file=path, key=key, remedy=remedy)
    return path


def model_folder(path: Path, allow_spacy: bool = False) -> str:
    """The folder of a trained model as text. It is checked before torch is imported.

    Args:
        path: the folder.
        allow_spacy: whether `spacy:` may stand before it, for an adopted spaCy pipeline that the user trusts.

    Raises:
        UserError: it does not exist or holds no model.
    """
    folder = Path(str(path).removeprefix("spacy:")) if allow_spacy else path
    if not (folder / "config.json").is_file():
        problem = "holds no model (no config.json)" if folder.is_dir() else "no such folder"
        remedy = "give the folder of a trained model, such as OUT/student/LANGUAGE/current"
        raise UserError(problem, file=path, key="--model", remedy=remedy)
    return str(path)


def language_code(code: str, key: str = "--language") -> str:
    """The normalized code of a language.

    Raises:
        UserError: no language has the code.
    """
    from xner_ray.language_codes import UnknownLanguageError, normalize_language

    try:
        return normalize_language(code)
    except UnknownLanguageError as e:
        raise UserError(str(e), key=key, remedy=e.remedy) from None


def language_list(text: str | None, key: str) -> list[str] | None:
    """Normalized codes of languages, separated by commas; None if the option was not given."""
    codes = comma_list(text)
    return None if codes is None else [language_code(code, key) for code in codes]


def comma_list(text: str | None) -> list[str] | None:
    """`PER,ORG` as a list; None if the option was not given."""
    return [item.strip() for item in text.split(",") if item.strip()] if text is not None else None
