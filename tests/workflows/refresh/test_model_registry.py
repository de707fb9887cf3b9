"""The model registry: atomic promotion, a pointer to the newest version, and deletion of old versions."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from xner_ray.errors import UserError
from xner_ray.storage.fingerprint import hash_folder
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


def test_a_version_is_never_published_twice(registry):
    folder = registry.store.root
    promote(folder, 1)
    before = (folder / "students/000001/de/config.json").read_bytes()
    (folder.parent / "other").mkdir()
    (folder.parent / "other" / "config.json").write_text("other weights")
    for number_is_claimed in (True, False):
        if not number_is_claimed:
            (folder / "students/000001.json").unlink()  # a version whose list of files is gone is still published
        with pytest.raises(UserError) as e:
            registry.upload(1, {"de": folder.parent / "other"})
        assert "xner refresh" in e.value.remedy
        assert (folder / "students/000001/de/config.json").read_bytes() == before
    with pytest.raises(UserError) as e:
        registry.commit(1, {"students": {"de": {"path": "other"}}})
    assert str(e.value.file).endswith("versions/000001.json") and "next number" in e.value.remedy
    assert current_version(folder) == (1, "1")


def test_numbers_follow_everything_that_is_published(registry):
    folder = registry.store.root
    assert registry.last_number() == 0
    promote(folder, 3)
    assert registry.last_number() == 3
    registry.upload(5, {"de": folder.parent / "model-3"})
    assert registry.last_number() == 5
    registry.store.write("reports/000008.json", b"{}")
    assert registry.last_number() == 8


class LosesReplies(LocalDisk):
    """A store that creates files and then says that they existed."""

    def create_if_absent(self, name, data, step="file"):
        super().create_if_absent(name, data, step)
        return False


def test_a_lost_reply_is_no_error(registry):
    promote(registry.store.root, 1)
    unlucky = ModelRegistry(LosesReplies(registry.store.root))
    paths = unlucky.upload(2, {"de": registry.store.root.parent / "model-1"})
    unlucky.commit(2, {"students": {"de": {"path": paths["de"]}}})
    assert registry.current()["version"] == 2


def test_rollback_pins_an_older_version(registry):
    folder = registry.store.root
    for number in (1, 2, 3):
        promote(folder, number)
    assert registry.pinned() is None and registry.roll_back()["version"] == 2
    assert current_version(folder) == (2, "2") and registry.pinned() == 2
    assert registry.roll_back()["version"] == 1 and current_version(folder) == (1, "1")
    promote(folder, 4)  # by a refresh that ran meanwhile
    assert current_version(folder) == (1, "1") and registry.current()["version"] == 1
    registry.delete_old_versions(1, 5)
    assert registry.versions() == [1, 4] and current_version(folder) == (1, "1")
    assert registry.roll_back(4)["version"] == 4 and current_version(folder) == (4, "4")


def test_an_unpinned_version_is_current_until_the_next_promotion(registry):
    folder = registry.store.root
    for number in (1, 2):
        promote(folder, number)
    registry.roll_back(1)
    assert registry.unpin() == 1 and registry.pinned() is None and current_version(folder) == (1, "1")
    with pytest.raises(UserError) as e:
        registry.unpin()
    assert e.value.key == "--unpin" and e.value.remedy
    promote(folder, 3)
    assert current_version(folder) == (3, "3")


def test_rollback_to_what_is_not_there_is_an_error(registry):
    folder = registry.store.root
    with pytest.raises(UserError) as e:
        registry.roll_back()
    assert e.value.key == "--rollback" and "xner refresh" in e.value.remedy
    promote(folder, 1)
    for version in (None, 7):
        with pytest.raises(UserError) as e:
            registry.roll_back(version)
        assert e.value.key == "--rollback" and e.value.remedy == "one of 1"
    promote(folder, 2)
    model = folder / "students/000001/de/deep/model.safetensors"
    model.unlink()
    with pytest.raises(UserError) as e:
        registry.roll_back(1)
    assert e.value.file == str(model) and current_version(folder) == (2, "2")


def test_rollback_to_an_edited_model_is_an_error(registry):
    folder = registry.store.root
    promote(folder, 1)
    promote(folder, 2)
    record = registry.version(1)
    record["students"]["de"]["identity"] = hash_folder(folder / "students/000001/de")
    registry.store.write("versions/000001.json", json.dumps(record).encode())
    assert registry.roll_back(1)["version"] == 1
    registry.roll_back(2)
    (folder / "students/000001/de/config.json").write_text("{}")
    with pytest.raises(UserError) as e:
        registry.roll_back(1)
    assert e.value.file == str(folder / "students/000001/de") and current_version(folder) == (2, "2")


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "{}", '{"version": "x"}', '{"version": 1, "students": 3}'])
@pytest.mark.parametrize("name", ["versions/000001.json", "rollback.json"])
def test_a_damaged_record_is_named(registry, name, text):
    promote(registry.store.root, 1)
    promote(registry.store.root, 2)
    registry.roll_back(1)
    registry.store.write(name, text.encode())
    with pytest.raises(UserError) as e:
        registry.current()
    assert e.value.file == registry.store.path(name) and "delete" in e.value.remedy
    (registry.store.root / name).unlink()
    assert registry.current()["version"] == 2


def test_a_damaged_pointer_is_written_again(registry):
    promote(registry.store.root, 1)
    (registry.store.root / "current.json").write_text("{")
    registry.update_pointer()
    assert current_version(registry.store.root) == (1, "1")
