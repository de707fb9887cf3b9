"""Students on the shelf: one commit, a pointer that follows it, and no more of them than are kept."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from xner_ray.storage.local_disk import LocalDisk
from xner_ray.workflows.refresh.model_registry import ModelRegistry


def promote(folder: Path, number: int) -> None:
    model = folder.parent / f"model-{number}"
    (model / "deep").mkdir(parents=True, exist_ok=True)
    (model / "config.json").write_text(str(number))
    (model / "deep" / "model.safetensors").write_bytes(bytes(number))
    shelf = ModelRegistry(LocalDisk(folder))
    paths = shelf.upload(number, {"de": model})
    shelf.commit(number, {"students": {"de": {"path": paths["de"]}}})


def pointed(folder: Path) -> tuple[int, str]:
    """The version that current.json names, and the model that it and the symlink lead to."""
    told = json.loads((folder / "current.json").read_text())
    (read,) = {
        (folder / told["students"]["de"]["path"] / "config.json").read_text(),
        (folder / "current" / "de" / "config.json").read_text(),
    }
    return told["version"], read


@pytest.fixture
def shelf(tmp_path):
    return ModelRegistry(LocalDisk(tmp_path / "shelf"))


def test_the_newest_is_current(shelf):
    folder = shelf.store.root
    assert shelf.current() is None
    for number in (3, 7):
        promote(folder, number)
        assert pointed(folder) == (number, str(number))
        assert (folder / f"students/{number:06d}/de/deep/model.safetensors").read_bytes() == bytes(number)
    assert shelf.current()["version"] == 7 and shelf.versions() == [3, 7]


def test_who_slept_does_not_turn_the_pointer_back(shelf):
    """Refresh 3 promotes after 7 has, which its lease should have kept it from."""
    folder = shelf.store.root
    for number in (7, 3):
        promote(folder, number)
    assert pointed(folder) == (7, "7")


@pytest.mark.parametrize(
    ("failpoint", "current"),
    [
        ("upload.durable", 1),
        ("student.synced", 1),
        ("promotion.uploaded", 1),
        ("promotion.half", 1),
        ("promotion.committed", 2),
        ("pointer.half", 2),
    ],
)
def test_a_kill_leaves_the_old_version_or_the_new_one(shelf, failpoint, current):
    folder = shelf.store.root
    promote(folder, 1)
    child = os.fork()  # a whole new process would take seconds to import what this one has
    if not child:
        os.environ["XNER_FAILPOINT"] = failpoint
        promote(folder, 2)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert pointed(folder) == (1, "1")  # a reader has a whole version at any time
    shelf.point()
    assert pointed(folder) == (current, str(current))
    shelf.keep(2, 3)
    assert (folder / "students/000002").exists() == (current == 2)
    promote(folder, 3)
    assert pointed(folder) == (3, "3")


def test_the_last_are_kept(shelf):
    folder = shelf.store.root
    for number in range(1, 6):
        promote(folder, number)
    shelf.upload(6, {"de": folder.parent / "model-5"})  # of a night that is not over
    assert shelf.keep(2, 6) == [1, 2, 3]
    assert shelf.versions() == [4, 5] and pointed(folder) == (5, "5")
    assert sorted(p.name for p in (folder / "students").iterdir() if p.is_dir()) == ["000004", "000005", "000006"]
    shelf.keep(2, 7)
    assert sorted(p.name for p in (folder / "students").iterdir() if p.is_dir()) == ["000004", "000005"]
