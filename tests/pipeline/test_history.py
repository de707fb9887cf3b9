"""A run with one new shard costs the same whatever the history: the files that it opens below `out` are counted."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.harness.corpus_files import good_moses
from tests.pipeline.test_damage import LabelInProcess
from xner_ray.config import Config
from xner_ray.pipeline.context import Context
from xner_ray.pipeline.executors import InProcess
from xner_ray.pipeline.runner import Runner
from xner_ray.pipeline.stages.filter import Filter
from xner_ray.pipeline.stages.ingest import Ingest
from xner_ray.storage import manifest_packs
from xner_ray.storage.local_disk import LocalDisk

SHARD_ROWS = 2
_opened: list[str] = []
_is_counting = [False]


def _count(event: str, args: tuple) -> None:
    if _is_counting[0] and event in ("open", "os.scandir", "os.listdir"):
        _opened.append(f"{event} {args[0]}")


@pytest.fixture(scope="module")
def opened():
    """The files and folders that this process opens while `_is_counting`. Python cannot remove such a hook."""
    sys.addaudithook(_count)
    yield _opened
    _is_counting[0] = False


def run(root: Path, corpora: dict[str, int]) -> Runner:
    """Ingest, label and filter corpora of so many shards each."""
    root.mkdir(exist_ok=True)
    for name, shards in corpora.items():
        if not (root / name).exists():
            rows = range(shards * SHARD_ROWS)
            good_moses(root / name, [(f"Anna met {n} {name}.", f"Anna traf {n} {name}.") for n in rows])
    made = [{"name": name, "format": "moses", "path": str(root / name)} for name in corpora]
    ingest = {"max_pairs_per_language": None, "shard_rows": SHARD_ROWS, "incremental": True}
    config = Config(
        name="t", out=str(root / "out"), languages=["de"], gold=[{"path": "g"}], corpora=made, ingest=ingest
    )
    ctx = Context.open(config, log=lambda line: None, executor=InProcess())
    runner = Runner(ctx, [Ingest(), LabelInProcess(null_model=True), Filter()])
    runner.result("filter")
    return runner


def test_a_run_with_one_new_shard_opens_as_many_files_at_1_10_and_100_times_the_history(tmp_path, monkeypatch, opened):
    monkeypatch.setattr(os, "fsync", lambda fd: None)
    monkeypatch.setattr(manifest_packs, "MIN_LOOSE", 2)
    counts = []
    for history in (2, 20, 200):
        root = tmp_path / str(history)
        run(root, {"friends": history})
        opened.clear()
        _is_counting[0] = True
        runner = run(root, {"friends": history, "birds": 1})
        _is_counting[0] = False
        counts.append(sum(f"{root}/out" in line for line in opened))
        assert len(runner.result("filter").manifests) == history + 1
    assert counts[0] == counts[1] == counts[2]


def test_a_store_is_listed_once_by_a_run_that_has_nothing_to_do(tmp_path, monkeypatch):
    run(tmp_path, {"friends": 3})
    folders: list[str] = []
    entries = LocalDisk.entries
    monkeypatch.setattr(LocalDisk, "entries", lambda self, folder="": folders.append(folder) or entries(self, folder))
    run(tmp_path, {"friends": 3})
    assert folders.count("manifest") == 2  # labeled and filtered shards
    folders.clear()
    run(tmp_path, {"friends": 3, "birds": 1})
    assert folders.count("manifest") == 4  # again after new commits
