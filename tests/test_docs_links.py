"""Links, files, config keys, commands and options in the documents exist."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import typer
import typer.core
from pydantic import BaseModel

from xner_ray.cli.main import app
from xner_ray.config import Config

ROOT = Path(__file__).parents[1]
PAGES = [*(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")), *sorted(ROOT.glob("docs/*.md"))]
FOLDERS = ("xner_ray", "docs", "configs", "jobs", "tests", "bench", "cluster")
FILE_NAME = re.compile(rf"(?<![\w/.{{-])(?:{'|'.join(FOLDERS)})/[\w./*-]*")
LINK = re.compile(r"\]\(([^)\s]+)\)|^\[[\w-]+\]: (\S+)", re.MULTILINE)
CODE = re.compile(r"^(?:    |\s*- )?(xner [a-z].*)$|`(xner [a-z][^`]*)`", re.MULTILINE)


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from models_in(part)


COMMAND = typer.main.get_command(app)
SECTIONS = [name for name, field in Config.model_fields.items() if any(models_in(field.annotation))]
KEY = re.compile(rf"(?<![\w./-])(?:{'|'.join(SECTIONS)})(?:\.[a-z_0-9]+)+(?![\w/(])")


MISTAKES = {"student.sed"}  # the example of a mistake in docs/operations.md


def is_key(dotted: str) -> bool:
    """Whether a config has this key. Below a mapping with free names (`rules.derived_word_type.de`) every key is valid."""
    models: list[type[BaseModel]] = [Config]
    annotation: Any = None
    for name in dotted.split("."):
        if name.isdigit():
            continue
        fields = [m.model_fields[name] for m in models if name in m.model_fields]
        if not fields:
            return not models and "dict" in str(annotation)
        annotation = fields[0].annotation
        models = list(models_in(annotation))
    return True


def commands_in(text: str) -> Iterator[str]:
    for indented, quoted in CODE.findall(text):
        line = " ".join((indented or quoted).split())
        yield from (part.strip() for part in re.split(r"&&|#", line) if part.strip().startswith("xner "))


def problem(line: str) -> str | None:
    """The error of a command line, or None."""
    command: Any = COMMAND
    words = line.split()[1:]
    while isinstance(command, typer.core.TyperGroup) and words and not words[0].startswith("-"):
        names = words.pop(0).rstrip(",;.:").split("|")
        unknown = [name for name in names if name not in command.commands and name != "COMMAND"]
        if unknown:
            return f"no command {unknown[0]}"
        if "COMMAND" in names:
            return None
        command = command.commands[names[0]]
    known_options = {option for parameter in command.params for option in parameter.opts} | {"--help"}
    unknown_options = [
        o for o in re.findall(r"(?<![\w-])--?[a-zA-Z][\w-]*", " ".join(words)) if o not in known_options
    ]
    return f"no option {unknown_options[0]}" if unknown_options else None


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_and_files(page):
    text = page.read_text(encoding="utf-8")
    links = [a or b for a, b in LINK.findall(text)]
    local = [x.partition("#")[0] for x in links if "://" not in x and not x.startswith("#")]
    assert not [x for x in local if not (page.parent / x).exists()]
    file_names = {x.rstrip(".,") for x in FILE_NAME.findall(text)}
    assert not [x for x in sorted(file_names) if not list(ROOT.glob(x.rstrip("/")))]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_config_keys(page):
    keys = set(KEY.findall(page.read_text(encoding="utf-8"))) - MISTAKES
    assert not [key for key in sorted(keys) if not is_key(key)]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_commands(page):
    unknown_options = {
        line: message for line in commands_in(page.read_text(encoding="utf-8")) if (message := problem(line))
    }
    assert not unknown_options


def messages() -> list[str]:
    """Cells of the column `message` in the tables of operations.md. `...` stands for variable text."""
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    tables = re.findall(r"^\| message \|.*\n\|[-|]+\n((?:\|.*\n)+)", text, re.MULTILINE)
    return [
        message
        for table in tables
        for row in table.splitlines()
        for message in re.findall("`([^`]+)`", row.split(" | ")[0])
    ]


def test_messages_of_operations_are_in_the_code():
    source = "\n".join(file.read_text(encoding="utf-8") for file in sorted(ROOT.glob("xner_ray/**/*.py")))
    source = re.sub(r'"\s*\n\s*f?"', "", source)  # joins adjacent string literals
    assert len(messages()) > 40
    parts = {part.strip(" ,;:") for message in messages() for part in message.split("...")}
    assert not [part for part in sorted(parts) if part not in source]


def test_checks_read_enough_input():
    """A check without input would always pass."""
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert len(set(KEY.findall(text))) > 30 and len(set(FILE_NAME.findall(text))) > 40
    assert len(set(commands_in(text))) > 40
    assert is_key("student.training.gamma") and is_key("corpora.0.path") and is_key("rules.derived_word_type.de")
    assert not is_key("student.sed") and not is_key("rules.threshold") and not is_key("student.seeds.first")
    assert problem("xner tag --model DIR TEXT") is None and problem("xner corpus fetch NAME --target de") is None
    assert problem("xner tug") and problem("xner corpus fetsh") and problem("xner tag --modell DIR")
