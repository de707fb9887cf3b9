"""The model registry: atomic promotion, a pointer to the newest version, and deletion of old versions."""

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
    registry = ModelRegistry(LocalDisk(folder))
    paths = registry.upload(number, {"de": model})
    registry.commit(number, {"students": {"de": {"path": paths["de"]}}})


def current_version(folder: Path) -> tuple[int, str]:
    """The version that current.json names, and the model at its path and at the symlink."""
    pointer = json.loads((folder / "current.json").read_text())
    (model,) = {
        (folder / pointer["students"]["de"]["path"] / "config.json").read_text(),
        (folder / "current" / "de" / "config.json").read_text(),
    }
    return pointer["version"], model


@pytest.fixture
def registry(tmp_path):
    return ModelRegistry(LocalDisk(tmp_path / "registry"))


def test_newest_version_is_current(registry):
    folder = registry.store.root
    assert registry.current() is None
    for number in (3, 7):
        promote(folder, number)
        assert current_version(folder) == (number, str(number))
        assert (folder / f"students/{number:06d}/de/deep/model.safetensors").read_bytes() == bytes(number)
    assert registry.current()["version"] == 7 and registry.versions() == [3, 7]


def test_late_promotion_of_an_older_refresh_does_not_set_the_pointer_back(registry):
    """Refresh 3 promotes after refresh 7, although its lock should have prevented it."""
    folder = registry.store.root
    for number in (7, 3):
        promote(folder, number)
    assert current_version(folder) == (7, "7")


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
def test_killed_promotion_leaves_the_old_or_the_new_version(registry, failpoint, current):
    folder = registry.store.root
    promote(folder, 1)
    child = os.fork()  # a new process would import for seconds
    if not child:
        os.environ["XNER_FAILPOINT"] = failpoint
        promote(folder, 2)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert current_version(folder) == (1, "1")  # readers always have a complete version
    registry.update_pointer()
    assert current_version(folder) == (current, str(current))
    registry.delete_old_versions(2, 3)
    assert (folder / "students/000002").exists() == (current == 2)
    promote(folder, 3)
    assert current_version(folder) == (3, "3")


def test_old_versions_and_unused_uploads_are_deleted(registry):
    folder = registry.store.root
    for number in range(1, 6):
        promote(folder, number)
    registry.upload(6, {"de": folder.parent / "model-5"})  # of a refresh that still runs
    assert registry.delete_old_versions(2, 6) == [1, 2, 3]
    assert registry.versions() == [4, 5] and current_version(folder) == (5, "5")
    assert sorted(p.name for p in (folder / "students").iterdir() if p.is_dir()) == ["000004", "000005", "000006"]
    registry.delete_old_versions(2, 7)
    assert sorted(p.name for p in (folder / "students").iterdir() if p.is_dir()) == ["000004", "000005"]
