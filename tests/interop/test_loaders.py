"""Exports read back by the libraries' own loaders: the same words and entities, split by split."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tests.harness.small_run import make_run
from xner_ray.results.export.dataset import read_splits
from xner_ray.text.tags import bio2_to_spans

ROOT = Path(__file__).parents[2]
ENVIRONMENTS = Path(os.environ.get("XNER_INTEROP_ENVS", ROOT / "build" / "interop"))
TORCH = re.findall(
    r"^torch==\S+", (ROOT / "constraints.txt").read_text(), re.MULTILINE
)  # the one that is here already
PACKAGES = {
    "hf": ["datasets>=4"],
    "flair": ["flair==0.15.1", *TORCH],
    "gliner": ["gliner>=0.2.20", *TORCH],
    "spacy": ["spacy>=3.8", "pandas", "pydantic", "pyyaml"],
}
SHARES = {"train": 0.6, "validation": 0.2, "test": 0.2}
pytestmark = pytest.mark.timeout(3600)


def python(name: str) -> Path:
    """The interpreter of a library's environment, made and filled on the first call."""
    folder = ENVIRONMENTS / name
    done = folder / "installed.txt"
    wanted = "\n".join([*PACKAGES[name], "pyarrow"])
    if not done.exists() or done.read_text() != wanted:
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run([folder / "bin" / "pip", "install", "-q", *wanted.split("\n")], check=True)
        done.write_text(wanted)
    return folder / "bin" / "python"


@pytest.mark.parametrize("format", PACKAGES)
def test_round_trip(format, tmp_path):
    run = make_run(tmp_path / "run")
    interpreter, out = python(format), tmp_path / "out"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "FLAIR_CACHE_ROOT": str(tmp_path)}
    writer = interpreter if format == "spacy" else sys.executable  # spaCy writes its files itself
    subprocess.run(
        [writer, Path(__file__).with_name("write.py"), run.out, out, format], env=environment, check=True, timeout=600
    )
    done = subprocess.run(
        [interpreter, Path(__file__).with_name("read.py"), format, out, "de", "zh"],
        env={**environment, "PYTHONPATH": ""},
        check=True,
        capture_output=True,
        text=True,
        timeout=900,
    )
    found = json.loads(done.stdout.splitlines()[-1])
    for language, path in run.datasets.items():
        expected: dict[str, list] = {name: [] for name in SHARES}
        for split, rows in read_splits(path, SHARES, 1):
            for row in rows.to_pylist():
                expected[split].append([row["tokens"], [list(span) for span in bio2_to_spans(row["ner_tags"])]])
        assert found[language] == expected
