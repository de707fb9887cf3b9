"""The languages of a trained model, and how it cuts words: config.json of its folder names both.

So commands need no `--language`, and a model of Chinese is never read with words between spaces. The entry survives
`save_pretrained`, the export to ONNX and the hub. A model from elsewhere has no entry. Its card names its languages, if any.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from xner_ray.encoders.folder_check import read_model_config
from xner_ray.errors import UserError
from xner_ray.language_codes import known_language
from xner_ray.text.languages import get_language

LANGUAGES = "xner_languages"  # key of config.json: by language code `spaces` or `characters`, what separates words


def languages_entry(languages: Sequence[str]) -> dict[str, dict[str, str]]:
    """The entry of config.json for a model of these languages; empty for no language."""
    return {LANGUAGES: {code: _separator(code) for code in languages}} if languages else {}


def store_languages(folder: str | Path, languages: Sequence[str]) -> None:
    """Write the languages of a model into its config.json, in place of those of the model that it started from."""
    file = Path(folder) / "config.json"
    config = json.loads(file.read_text(encoding="utf-8"))
    config.pop(LANGUAGES, None)
    config |= languages_entry(languages)
    file.write_text(json.dumps(config, indent=2, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8")


def stored_languages(folder: str | Path) -> list[str]:
    """The languages in the config.json of a model; empty for a model from elsewhere.

    Raises:
        UserError: config.json cannot be read, or the model was trained with another rule for words than this version has.
    """
    entry = read_model_config(folder).get(LANGUAGES)
    if entry is None:
        return []
    file = Path(folder) / "config.json"
    if not isinstance(entry, dict):
        remedy = 'write e.g. {"de": "spaces"}, or train the model again'
        raise UserError("is not a mapping of language codes", file=file, key=LANGUAGES, remedy=remedy)
    for code, separator in entry.items():
        if separator != _separator(code):
            raise UserError(
                f"the model was trained on {code} with words by {separator}, but this version has words by {_separator(code)}",
                file=file,
                key=LANGUAGES,
                remedy="use the version of xner_ray that trained the model, or train it again",
            )
    return list(entry)


def _separator(code: str) -> str:
    return "spaces" if get_language(code).uses_spaces else "characters"


def card_languages(folder: str | Path) -> list[str]:
    """The languages in the metadata of README.md, the card of a model of the Hugging Face hub; empty if there are none."""
    import yaml

    try:
        text = (Path(folder) / "README.md").read_text(encoding="utf-8")
        metadata: Any = (
            yaml.safe_load(text.split("\n---", 1)[0].removeprefix("---")) if text.startswith("---") else None
        )
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return []  # a model needs no card
    found = metadata.get("language") if isinstance(metadata, dict) else None
    # YAML reads the code of Norwegian, `no`, as false.
    names = ["no" if x is False else str(x) for x in (found if isinstance(found, list) else [found])]
    return list(dict.fromkeys(filter(None, map(known_language, names))))
