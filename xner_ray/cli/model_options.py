"""Which model a command uses, and of which language it is: `--model DIR`, or `--out OUT --language CODE`.

A model that was trained here names its languages (`encoders.model_languages`). So `--language` is needed only for a model of
several languages, and for models from elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from xner_ray.cli.console import echo
from xner_ray.cli.options import language_code, model_folder
from xner_ray.errors import UserError

Model = Annotated[
    Path | None,
    typer.Option("--model", metavar="DIR", help="Folder of a trained model.", show_default=False),
]
RunOut = Annotated[
    Path | None,
    typer.Option("--out", metavar="OUT", help="Output folder of a run: use its student.", show_default=False),
]
Language = Annotated[
    str | None,
    typer.Option(
        "--language",
        metavar="CODE",
        help="Language code, such as de or zh. Default: the language of the model.",
        show_default=False,
    ),
]


def choose_model(model: Path | None, out: Path | None, language: str | None) -> tuple[str, str | None]:
    """The folder of a model, and its language as far as the options and its config.json say.

    Args:
        model: a folder.
        out: the output folder of a run, in place of `model`.
        language: code of the user.

    Returns:
        the folder, and the normalized code; None: neither the user nor the model says it.

    Raises:
        UserError: not exactly one of `model` and `out` is given, there is no such model, or it is of several languages and
            `language` is None.
    """
    code = language_code(language) if language else None
    if (model is None) == (out is None):
        problem = "both --model and --out are given" if model else "no model is given"
        raise UserError(
            problem, key="--model", remedy="give --model DIR, or --out OUT --language CODE for a student of a run"
        )
    if out is not None:
        from xner_ray.results.run_results import find_student

        model = find_student(out, code)
    assert model is not None
    folder = model_folder(model, allow_spacy=True)
    return folder, one_language(model_languages(folder), code)


def one_language(known: Sequence[str], code: str | None) -> str | None:
    """The language to use.

    Args:
        known: languages of the model; empty: not known.
        code: normalized code of the user.

    Raises:
        UserError: the model has several languages, and `code` is None.
    """
    if code is None and len(known) > 1:
        listed = ", ".join(known)
        raise UserError(
            f"the model is of several languages: {listed}", key="--language", remedy=f"add --language {known[0]}"
        )
    if code is None:
        return known[0] if known else None
    if known and code not in known:
        echo(f"warning: the model was trained for {', '.join(known)}, and the text is read as {code}", "yellow")
    return code


def needed_language(folder: str, language: str | None) -> str:
    """The language, if need be that of the model's card, else English. A message names a language that is assumed.

    Raises:
        UserError: the card names several languages.
    """
    if language is not None:
        return language
    from xner_ray.encoders.model_languages import card_languages

    found = card_languages(_plain(folder))
    if len(found) == 1:
        echo(f"language: {found[0]}, from the card of the model", "yellow")
        return found[0]
    if found:
        problem, remedy = f"its card names several languages: {', '.join(found)}", f"add --language {found[0]}"
        raise UserError(problem, file=_plain(folder), key="--language", remedy=remedy)
    echo("language: en, because neither --language nor the model names another", "yellow")
    return "en"


def model_languages(folder: str) -> list[str]:
    """The languages in the config.json of a folder, which may have the prefix `spacy:`."""
    from xner_ray.encoders.model_languages import stored_languages

    return stored_languages(_plain(folder))


def _plain(folder: str) -> str:
    return folder.removeprefix("spacy:")
