"""A study from end to end on random weights: killed in the middle, it goes on, and what was done is not done again."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from xner_ray.workflows.study.grid import ZERO
from xner_ray.workflows.study.table import read_table

ROOT = Path(__file__).parents[2]
SETTINGS = 6
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]


@pytest.fixture(scope="module")
def work():
    """A short path: Ray's sockets lie below it."""
    folder = Path(tempfile.mkdtemp(prefix="xs", dir="/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def command(work: Path, study: str, *more: str) -> tuple[list[str], dict[str, str]]:
    told = [sys.executable, "-m", "xner_ray.cli", "study", study, "configs/tiny.yaml", f"out={work / 'out'}"]
    env = {k: v for k, v in os.environ.items() if k != "RAY_ADDRESS"}
    env |= {"PYTHONPATH": str(ROOT), "RAY_TMPDIR": str(work / "ray"), "RAY_AUTH_MODE": "disabled", "COLUMNS": "200"}
    (work / "ray").mkdir(exist_ok=True)
    # Labels are made up: a teacher and an aligner under Ray Train have tests of their own.
    return [*told, "ray.num_cpus=2", "languages=[de]", "label.null_model=true", *more], env


def finish(work: Path, study: str, *more: str) -> str:
    told, env = command(work, study, *more)
    done = subprocess.run(told, cwd=ROOT, env=env, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout + done.stderr


def cells(work: Path) -> dict[Path, int]:
    return {file: file.stat().st_mtime_ns for file in (work / "out" / "study" / "cells").glob("*.json")}


def kill_in_the_middle(work: Path, study: str, *more: str) -> dict[Path, int]:
    """Start a study, and kill it with SIGKILL when some cells are done and some are not."""
    told, env = command(work, study, *more)
    with (work / "killed.log").open("wb") as log:
        process = subprocess.Popen(told, cwd=ROOT, env=env, stdout=log, stderr=log, start_new_session=True)
        try:
            until = time.monotonic() + 800
            while len(cells(work)) < 2:
                assert process.poll() is None and time.monotonic() < until, (work / "killed.log").read_text()[-3000:]
                time.sleep(0.05)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return cells(work)


def test_a_killed_study_goes_on(work):
    seeds = ["--seeds", "1,2"]
    before = kill_in_the_middle(work, "ablation", *seeds)
    assert len(before) < SETTINGS * 2 and not (work / "out" / "study" / "ablation.parquet").exists()
    models = {p: p.stat().st_mtime_ns for p in (work / "out").rglob("model/*.safetensors")}
    told = finish(work, "ablation", *seeds, "--csv", str(work / "docs" / "ablation.csv"))
    assert "12 cells, " in told and " of them done" in told
    after = cells(work)
    assert len(after) == SETTINGS * 2 and before.items() <= after.items()
    assert {p: p.stat().st_mtime_ns for p in models} == models, "finished models are not trained again"
    assert not list((work / "out" / "label").rglob("*.tmp"))

    table = read_table(work / "out" / "study" / "ablation.parquet")
    assert table.equals(read_table(work / "docs" / "ablation.csv"))
    rows = [row for row in table.to_pylist() if row["type"] == "all"]
    assert len(rows) == SETTINGS * 2 and {row["eval_set"] for row in rows} == {"german"}
    sentences = {row["setting"]: row["train_sentences"] for row in rows}
    assert sentences.pop(ZERO) is None and len(set(sentences.values())) == 1
    assert len(list((work / "out" / "label").iterdir())) == 1, "labels are made once"

    again = finish(work, "ablation", *seeds)
    assert "12 cells, 12 of them done" in again and cells(work) == after


def test_schedules_train_on_what_they_say(work):
    files = [json.loads(f.read_text()) for f in cells(work)]
    steps = {}
    for told in files:
        trained = json.loads((Path(told["student"]) / "training.json").read_text())
        steps[told["cell"]["setting"], told["cell"]["seed"]] = trained["tokens"]
    for seed in (1, 2):
        english, target = steps[ZERO, seed], steps["sequential, reweighted", seed]
        assert steps["no English, reweighted", seed] == target
        assert steps["mixed, reweighted", seed] == steps["mixed, cross entropy", seed] == english + target
    starts = {
        (t["cell"]["setting"], t["cell"]["seed"]): json.loads((Path(t["student"]) / "training.json").read_text())[
            "job"
        ]
        for t in files
    }
    # Each seed has an English model of its own, which sequential students begin at.
    for seed in (1, 2):
        english = starts[ZERO, seed]["out"]
        assert starts["sequential, reweighted", seed]["start"] == english
        assert "encoders" in starts["mixed, reweighted", seed]["start"]
    assert starts[ZERO, 1]["out"] != starts[ZERO, 2]["out"]


@pytest.mark.parametrize(
    ("study", "more"),
    [
        ("size", ["--sizes", "2,16", "--seeds", "1", "dataset.no_entity_ratio=0"]),
        ("domain", ["--seeds", "1", "dataset.no_entity_ratio=0"]),
        ("loss", ["--gammas", "0,4", "--frozen", "0,1"]),
    ],
)
def test_other_studies_share_labels_and_english(work, study, more):
    english = set((work / "out").glob("english*/*"))
    told = finish(work, study, *more, "--csv", str(work / "docs"))
    assert "Zero" in told or ZERO in told
    table = read_table(work / "docs" / f"{study}.csv")
    assert table.num_rows and (work / "docs" / f"{study}.svg").exists()
    assert len(list((work / "out" / "label").iterdir())) == 1
    assert set((work / "out").glob("english*/*")) == english
    if study == "size":
        sizes = {r["setting"]: r["train_sentences"] for r in table.to_pylist() if r["setting"] != ZERO}
        most = max(sizes.values())
        assert 2 < most < 16 and sizes == {"2": 2, str(most): most}, (
            "16 are not there: the largest size is all there are"
        )
