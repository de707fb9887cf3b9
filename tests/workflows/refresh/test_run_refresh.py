"""Numbers of refreshes, pinned versions and the checks before a promotion. No stage runs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from tests.workflows.refresh.test_model_registry import current_version, promote
from xner_ray.cli.main import app
from xner_ray.config import Config
from xner_ray.errors import UserError
from xner_ray.pipeline.stages.student import Student
from xner_ray.storage.fingerprint import hash_folder
from xner_ray.storage.local_disk import LocalDisk
from xner_ray.workflows import model_warnings, student_losses
from xner_ray.workflows.refresh import run_refresh as module
from xner_ray.workflows.refresh.compare import _current_folder
from xner_ray.workflows.refresh.promotion import Decision
from xner_ray.workflows.refresh.run_refresh import STATE, _Refresh, run_refresh

ROOT = Path(__file__).parents[3]


def config(tmp_path: Path) -> Config:
    corpora = [{"name": "a", "format": "moses", "path": "a"}]
    return Config(name="t", out=str(tmp_path / "out"), languages=["de"], gold=[{"path": "g"}], corpora=corpora)


@pytest.fixture
def numbers(monkeypatch) -> list[int]:
    """The numbers of refreshes that promote at once."""
    used: list[int] = []

    def run(self, listener, retry_policy):
        used.append(self.lock.number)
        promote(self.lock.store.root, self.lock.number)
        self.report["status"] = "promoted"

    monkeypatch.setattr(_Refresh, "run", run)
    return used


def test_a_deleted_lock_does_not_count_from_the_start(tmp_path, numbers):
    made, published = config(tmp_path), tmp_path / "out" / "published"
    run_refresh(made, "c", lambda line: None)
    run_refresh(made, "c", lambda line: None)
    weights = (published / "students/000001/de/config.json").read_bytes()
    shutil.rmtree(published / "lock")
    assert run_refresh(made, "c", lambda line: None)["number"] == 3 and numbers == [1, 2, 3]
    assert current_version(published) == (3, "3") and sorted(
        p.name for p in (published / "reports").glob("*.json")
    ) == [f"00000{n}.json" for n in (1, 2, 3)]
    assert (published / "students/000001/de/config.json").read_bytes() == weights


class Careless(LocalDisk):
    """A store that ignores If-None-Match."""

    def create_if_absent(self, name, data, step="file"):
        self.write(name, data, step)
        return True


def test_a_store_that_ignores_if_none_match_is_refused(tmp_path, numbers, monkeypatch):
    monkeypatch.setattr(module, "open_blob_store", lambda root: Careless(Path(root)))
    with pytest.raises(UserError) as e:
        run_refresh(config(tmp_path), "c", lambda line: None)
    assert e.value.key == "refresh.publish" and "If-None-Match" in e.value.remedy
    assert not numbers and not (tmp_path / "out" / "published" / "lock").exists()


class Stages:
    """A runner whose stages must not run."""

    def __init__(self, made: Config):
        self.ctx = SimpleNamespace(config=made)

    def result(self, name):
        raise AssertionError(f"{name} ran")


@pytest.fixture
def refresh(tmp_path):
    """A refresh of a registry with two versions, and sentences that are a reason to train."""
    made = config(tmp_path)
    store = LocalDisk(tmp_path / "published")
    promote(store.root, 1)
    promote(store.root, 2)
    lock = SimpleNamespace(store=store, number=3, check=lambda: None)
    report = {"ingested": {"de": {"a": 1}}}
    refresh = _Refresh(made, "c", lambda line: None, lock, report)
    data = SimpleNamespace(
        summary={"de": {"available": 100}}, train={"de": tmp_path / "out/dataset/de/f/train.parquet"}
    )
    return refresh, data


def test_a_pinned_version_is_not_replaced(refresh):
    refresh, data = refresh
    state = {"trained": {}, "recipe": {}, "used": {}}
    with pytest.raises(AssertionError, match="student ran"):
        refresh._train(Stages(refresh.config), data, refresh.registry.current(), dict(state))
    refresh.registry.roll_back(1)
    for number in (1, 2):  # the fake records lack what `_delete_unused` reads
        record = refresh.registry.version(number) | {"made_of": []}
        refresh.lock.store.write(f"versions/{number:06d}.json", json.dumps(record).encode())
    refresh._train(Stages(refresh.config), data, refresh.registry.current(), state)
    assert (refresh.report["status"], refresh.report["pinned"], refresh.report["reasons"]) == ("not trained", 1, [])
    assert current_version(refresh.lock.store.root) == (1, "1")
    written = json.loads(refresh.lock.store.read(STATE))
    assert written["trained"] == {} == written["recipe"]  # the reasons to train are kept for a refresh without a pin


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"trained": 3}'])
def test_a_damaged_state_is_named(refresh, text):
    refresh, _ = refresh
    refresh.lock.store.write(STATE, text.encode() or b" ")
    with pytest.raises(UserError) as e:
        refresh._state()
    assert e.value.file == refresh.lock.store.path(STATE) and "delete this file" in e.value.remedy


@pytest.mark.parametrize("promotes", [True, False])
def test_a_student_below_zero_transfer_is_in_the_report_of_the_refresh(refresh, tmp_path, monkeypatch, promotes):
    """A refresh compares new students with the current ones, and both can be below zero-transfer."""
    refresh, _ = refresh
    trained = [Student("de", "e", 1, tmp_path / "model-1", tmp_path / "base")]
    scores = [{"zero_transfer": 50.0, "student": 45.0}]
    evaluated = {
        "sets": {"news": {"language": "de", "encoder": "e", "by_seed": scores, "student": {"support": 1, "f1": 45}}}
    }
    runner = SimpleNamespace(
        ctx=SimpleNamespace(seconds={}, log=lambda line: None),
        result={"evaluate": evaluated, "student": trained, "aligner": tmp_path}.get,
    )
    monkeypatch.setattr(student_losses, "likely_cause", lambda runner, language: "the cause")
    monkeypatch.setattr(module, "compare_students", lambda *args: [])
    monkeypatch.setattr(module, "decide_promotion", lambda *args: Decision(promotes, ["because"]))
    monkeypatch.setattr(model_warnings, "weight_warnings", lambda aligner: [])
    monkeypatch.setattr(
        module, "finalize", lambda runner: {"warnings": model_warnings.model_warnings(runner, evaluated)}
    )
    monkeypatch.setattr(_Refresh, "_promote", lambda *args: None)
    refresh._decide(runner, trained, None, [])
    (line,) = refresh.report["warnings"]
    assert "below zero-transfer on news" in line and "the cause" in line and line.endswith(str(tmp_path / "base"))


def test_a_student_that_was_edited_before_its_promotion_is_not_published(refresh, tmp_path):
    refresh, _ = refresh
    folder = tmp_path / "model-1"
    models = {"de": {"folder": folder, "identity": hash_folder(folder)}}
    (folder / "config.json").write_text("edited")
    with pytest.raises(UserError) as e:
        refresh._promote([], models, [])
    assert e.value.file == folder and refresh.registry.versions() == [1, 2]
    assert not (refresh.lock.store.root / "students/000003.json").exists()


def test_a_current_student_that_was_edited_is_not_compared(tmp_path):
    folder = tmp_path / "student" / "model"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    student = {"trained_in": "student/model", "path": "students/000001/de", "identity": hash_folder(folder)}
    ctx, current = SimpleNamespace(out=tmp_path), {"students": {"de": student}}
    assert _current_folder(ctx, current, "de") == folder
    (folder / "config.json").write_text("[]")
    with pytest.raises(UserError) as e:
        _current_folder(ctx, current, "de")
    assert e.value.file == folder and "students/000001/de" in e.value.remedy


def test_rollback_of_the_command_line(tmp_path):
    published = tmp_path / "out" / "published"
    for number in (1, 2, 3):
        promote(published, number)

    def xner(*args: str, code: int = 0) -> str:
        command = ["refresh", str(ROOT / "configs" / "tiny.yaml"), f"out={tmp_path / 'out'}", *args]
        done = CliRunner().invoke(app, command, env={"COLUMNS": "200"})
        assert done.exit_code == code, done.output
        return done.output

    assert "version 2 is current and pinned" in xner("--rollback")
    assert current_version(published) == (2, "2")
    assert "version 1 is current" in xner("--rollback", "1") and current_version(published) == (1, "1")
    assert "version 1 stays current" in xner("--unpin")
    assert "no version 9" in xner("--rollback", "9", code=2) and current_version(published) == (1, "1")
