"""A whole study on random weights. It is killed and resumed, and finished cells are not done again."""

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

from xner_ray.workflows.study.grid import ZERO_TRANSFER
from xner_ray.workflows.study.table import read_table

ROOT = Path(__file__).parents[2]
SETTINGS = 6
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]


@pytest.fixture(scope="module")
def work():
    """A folder with a short path, because Ray's sockets are in it."""
    folder = Path(tempfile.mkdtemp(prefix="xs", dir="/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def command(work: Path, study: str, *more: str) -> tuple[list[str], dict[str, str]]:
    arguments = [sys.executable, "-m", "xner_ray.cli", "study", study, "configs/tiny.yaml", f"out={work / 'out'}"]
    env = {k: v for k, v in os.environ.items() if k != "RAY_ADDRESS"}
    env |= {"PYTHONPATH": str(ROOT), "RAY_TMPDIR": str(work / "ray"), "COLUMNS": "200"}
    (work / "ray").mkdir(exist_ok=True)
    # The null model labels. Other tests train a teacher and an aligner under Ray Train.
    return [*arguments, "ray.num_cpus=2", "languages=[de]", "label.null_model=true", *more], env


def finish(work: Path, study: str, *more: str) -> str:
    arguments, env = command(work, study, *more)
    done = subprocess.run(arguments, cwd=ROOT, env=env, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout + done.stderr


def cells(work: Path) -> dict[Path, int]:
    markers = (work / "out" / "study" / "cells").glob("*/done.json")
    return {marker.with_name("cell.json"): marker.stat().st_mtime_ns for marker in markers}


def kill_in_the_middle(work: Path, study: str, *more: str) -> dict[Path, int]:
    """Start a study, and kill it with SIGKILL when some cells are done and some are not."""
    arguments, env = command(work, study, *more)
    with (work / "killed.log").open("wb") as log:
        process = subprocess.Popen(arguments, cwd=ROOT, env=env, stdout=log, stderr=log, start_new_session=True)
        try:
            until = time.monotonic() + 800
            while len(cells(work)) < 2:
                assert process.poll() is None and time.monotonic() < until, (work / "killed.log").read_text()[-3000:]
                time.sleep(0.05)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return cells(work)


def test_killed_study_resumes(work):
    seeds = ["--seeds", "1,2"]
    before = kill_in_the_middle(work, "ablation", *seeds)
    assert len(before) < SETTINGS * 2 and not (work / "out" / "study" / "ablation.parquet").exists()
    models = {p: p.stat().st_mtime_ns for p in (work / "out").rglob("model/*.safetensors")}
    output = finish(work, "ablation", *seeds, "--csv", str(work / "docs" / "ablation.csv"))
    assert "12 cells, " in output and " of them done" in output
    after = cells(work)
    assert len(after) == SETTINGS * 2 and before.items() <= after.items()
    assert {p: p.stat().st_mtime_ns for p in models} == models, "finished models are not trained again"
    assert not list((work / "out" / "label").rglob("*.tmp"))

    table = read_table(work / "out" / "study" / "ablation.parquet")
    assert table.equals(read_table(work / "docs" / "ablation.csv"))
    rows = [row for row in table.to_pylist() if row["type"] == "all"]
    assert len(rows) == SETTINGS * 2 and {row["eval_set"] for row in rows} == {"german"}
    sentences = {row["setting"]: row["train_sentences"] for row in rows}
    assert sentences.pop(ZERO_TRANSFER) is None and len(set(sentences.values())) == 1
    assert len(list((work / "out" / "label").iterdir())) == 1, "labels are made once"

    again = finish(work, "ablation", *seeds)
    assert "12 cells, 12 of them done" in again and cells(work) == after


def test_schedules_train_on_their_data(work):
    jobs, tokens = {}, {}
    for file in cells(work):
        result = json.loads(file.read_text())
        training = json.loads((Path(result["student"]) / "training.json").read_text())
        key = result["cell"]["setting"], result["cell"]["seed"]
        jobs[key], tokens[key] = training["job"], training["tokens"]
    for seed in (1, 2):
        source, target = tokens[ZERO_TRANSFER, seed], tokens["sequential, reweighted", seed]
        assert tokens["no English, reweighted", seed] == target
        assert tokens["mixed, reweighted", seed] == tokens["mixed, cross entropy", seed] == source + target
    # Each seed has its own source model, from which sequential students start.
    for seed in (1, 2):
        source = jobs[ZERO_TRANSFER, seed]["out"]
        assert jobs["sequential, reweighted", seed]["start"] == source
        assert "encoders" in jobs["mixed, reweighted", seed]["start"]
    assert jobs[ZERO_TRANSFER, 1]["out"] != jobs[ZERO_TRANSFER, 2]["out"]


@pytest.mark.parametrize(
    ("study", "more"),
    [
        ("size", ["--sizes", "2,16", "--seeds", "1", "dataset.no_entity_ratio=0"]),
        ("domain", ["--seeds", "1", "dataset.no_entity_ratio=0"]),
        ("loss", ["--gammas", "0,4", "--frozen", "0,1"]),
    ],
)
def test_other_studies_share_labels_and_source_models(work, study, more):
    source_models = set((work / "out").glob("teacher/*/*"))
    output = finish(work, study, *more, "--csv", str(work / "docs"))
    assert "Zero" in output or ZERO_TRANSFER in output
    table = read_table(work / "docs" / f"{study}.csv")
    assert table.num_rows and (work / "docs" / f"{study}.svg").exists()
    assert len(list((work / "out" / "label").iterdir())) == 1
    assert set((work / "out").glob("teacher/*/*")) == source_models
    if study == "size":
        sizes = {r["setting"]: r["train_sentences"] for r in table.to_pylist() if r["setting"] != ZERO_TRANSFER}
        most = max(sizes.values())
        assert 2 < most < 16 and sizes == {"2": 2, str(most): most}, (
            "fewer than 16 sentences exist, so the largest size is all of them"
        )
