"""Every command of cluster/README.md names files, commands, configs and placeholders that exist."""

from __future__ import annotations

import re
import shlex
import subprocess
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
README = ROOT / "cluster" / "README.md"
FOLDERS = ("cluster/", "configs/", "jobs/", "tests/", "bench/", "xner_ray/")


def commands(text: str) -> Iterator[str]:
    """Lines of code blocks (indented by four spaces), and inline code."""
    yield from (line.strip() for line in text.splitlines() if line.startswith("    ") and line.strip())
    prose = "\n".join(line for line in text.splitlines() if not line.startswith("    "))
    yield from re.findall(r"`([^`\n]+)`", prose)


def problems(text: str) -> list[str]:
    """Errors of the commands: missing files, unknown `xner` commands and unknown config keys."""
    errors = []
    for command in commands(text):
        words = re.split(r"[\s'\"=]+", command)
        for word in words:
            if word.startswith(FOLDERS) or word in ("runtime_env.yaml", "constraints.txt"):
                matches = list(ROOT.glob(word)) if "*" in word else [ROOT / word]
                errors += [f"no file {word}"] * (not matches or not matches[0].exists())
        errors += [f"`{command}`: {problem}" for problem in [*_xner(command), *_overrides(command)]]
    return errors


def _xner(command: str) -> Iterator[str]:
    from typer.main import get_command

    from xner_ray.cli.main import app

    known = get_command(app).commands  # type: ignore[attr-defined]
    for name in re.findall(r"(?:^xner|&& xner|python -m xner_ray\.cli) ([a-z-]+)", command):
        if name not in known:
            yield f"no command `xner {name}`"


def _overrides(command: str) -> Iterator[str]:
    """Errors of the overrides after a config file."""
    from xner_ray.config.load import load_config
    from xner_ray.errors import UserError

    if match := re.search(r" (configs/\S+\.yaml)((?: [a-z_.]+=\S+)*)", command):
        try:
            load_config(ROOT / match[1], shlex.split(match[2]))
        except UserError as e:
            yield e.problem


def test_every_command_names_existing_things():
    text = README.read_text(encoding="utf-8")
    assert len(list(commands(text))) > 60
    assert problems(text) == []


def test_every_block_is_valid_shell():
    text = README.read_text(encoding="utf-8")
    blocks = re.findall(r"(?:^    .*\n|^\n(?=    ))+", text, re.MULTILINE)
    assert len(blocks) > 10
    for block in blocks:
        done = subprocess.run(["bash", "-n"], input=textwrap.dedent(block), capture_output=True, text=True)
        assert done.returncode == 0 and not done.stderr, block + done.stderr


@pytest.mark.parametrize(
    ("line", "error_text"),
    [
        ("    kubectl apply -f cluster/kuberay/rayjobs.yaml", "no file cluster/kuberay/rayjobs.yaml"),
        ("    sed -i s/a/b/ cluster/kubray/*.yaml", "no file cluster/kubray/*.yaml"),
        ("    xner preflihgt configs/tiny.yaml", "no command `xner preflihgt`"),
        ("    python jobs/pipeline.py configs/tiny.yaml labl.output_uri=s3://b", "unknown key"),
        ("    kubectl create configmap x --from-file=cluster/none.yaml", "no file cluster/none.yaml"),
    ],
)
def test_wrong_command_is_an_error(line, error_text):
    assert any(error_text in problem for problem in problems(line))


def test_every_placeholder_has_a_command_that_replaces_it():
    filled = set(re.findall(r"s\|(EDIT-[A-Z]+)\|", README.read_text(encoding="utf-8")))
    policies = "".join(path.read_text(encoding="utf-8") for path in ROOT.glob("cluster/iam/*.json"))
    assert set(re.findall(r"EDIT-[A-Z]+", policies)) <= filled
    for path in [*ROOT.glob("cluster/*.yaml"), *ROOT.glob("cluster/kuberay/*.yaml")]:
        text = path.read_text(encoding="utf-8")
        used = set(re.findall(r"EDIT-[A-Z]+", yaml.safe_dump_all(yaml.safe_load_all(text))))
        assert used <= filled, path
        assert used <= set(re.findall(r"EDIT-[A-Z]+", text.partition("To fill in:")[2].partition("\n\n")[0]))
    assert len(filled) == 6


def test_every_job_is_listed():
    listed = set(re.findall(r"`(\w+\.py)`", README.read_text(encoding="utf-8")))
    assert {p.name for p in (ROOT / "jobs").glob("*.py")} <= listed
