"""Runs the blocks of docs/tutorial.md in their order in an empty folder. The tagger at the end must find entities.

A block of `sh` is run; all of them share one shell. Any other block is a file, whose first line is `# NAME`. Indented blocks are
not run: they install packages that the tests already have.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TUTORIAL = ROOT / "docs" / "tutorial.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MARK = "==> block"


@dataclass(frozen=True)
class Block:
    kind: str
    text: str

    @property
    def file(self) -> str | None:
        """The name of the file; None: the block is a script."""
        if self.kind == "sh":
            return None
        name = re.match(r"# (\S+)\n", self.text)
        assert name, f"a block of {self.kind} starts with `# NAME`, this one with {self.text[:40]!r}"
        return name[1]


def blocks(page: Path) -> list[Block]:
    return [Block(kind, text) for kind, text in BLOCK.findall(page.read_text(encoding="utf-8"))]


def script(parts: list[Block]) -> str:
    """One shell script of all blocks. It prints the number of each block before it runs it."""
    lines = ["set -euo pipefail"]
    for number, part in enumerate(parts, 1):
        lines.append(f"echo '{MARK} {number}'")
        lines.append(f"cat > {part.file} <<'END_OF_BLOCK'\n{part.text}END_OF_BLOCK" if part.file else part.text)
    return "\n".join(lines) + "\n"


def shims(folder: Path) -> Path:
    """A folder with the commands `xner` and `python`, which run this source tree with this interpreter."""
    folder.mkdir()
    for name, command in (("xner", "-m xner_ray.cli.main"), ("python", "")):
        shim = folder / name
        shim.write_text(f'#!/bin/sh\nexec "{sys.executable}" {command} "$@"\n')
        shim.chmod(0o755)
    return folder


def test_tutorial_has_only_known_blocks():
    parts = blocks(TUTORIAL)
    assert {p.kind for p in parts} == {"sh", "yaml", "python"}
    assert [p.file for p in parts if p.file] == ["german.yaml", "tag.py", "tag_hf.py", "real.yaml"]
    assert TUTORIAL.read_text(encoding="utf-8").count("\n```") == 2 * len(parts), "each fence belongs to a block"
    done = subprocess.run(["bash", "-n"], input=script(parts), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_tutorial_works_as_written(tmp_path):
    parts, work = blocks(TUTORIAL), tmp_path / "tutorial"
    work.mkdir()
    env = {k: v for k, v in os.environ.items() if k not in ("RAY_ADDRESS", "XNER_OPUS_URL")}
    env |= {"PATH": f"{shims(tmp_path / 'bin')}:{env['PATH']}", "PYTHONPATH": str(ROOT), "NO_PROXY": "127.0.0.1"}
    env |= {"COLUMNS": "120"}
    page, log = tmp_path / "page.sh", tmp_path / "log"
    page.write_text(script(parts), encoding="utf-8")
    with log.open("w") as output:
        shell = subprocess.Popen(
            ["bash", str(page)], cwd=work, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
        try:
            shell.wait(1700)
        finally:
            _kill_session(shell.pid)
    text = log.read_text(encoding="utf-8")
    assert shell.returncode == 0, text[-5000:]
    *_, last = (i for i, p in enumerate(parts, 1) if "python tag.py" in p.text)
    printed = text.split(f"{MARK} {last}\n")[1].split(f"{MARK} {last + 1}\n")[0]
    entities = re.findall(r"^\S.*\t(PER|LOC|ORG|MISC)\t[01]\.\d\d$", printed, re.MULTILINE)
    assert entities, f"no entity in: {printed}"


def _kill_session(session: int) -> None:
    """Kill the processes that a failed page left running, such as its file server."""
    try:
        os.killpg(session, signal.SIGTERM)
    except ProcessLookupError:
        return
