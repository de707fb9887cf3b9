"""Stage directories: fingerprints, completion markers, and damage."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from pathlib import Path

import pytest

from xner_ray.errors import UserError
from xner_ray.storage.fingerprint import fingerprint
from xner_ray.storage.stage_dir import MARKER, PARTS, StageDir, commit_dir

OLD = {"teacher": {"epochs": 3}, "version": 1}
NEW = {"teacher": {"epochs": 4}, "version": 1}


def made(out: Path, parts: dict = OLD, stage: str = "label") -> StageDir:
    return StageDir.of(out, stage, parts).create()


def test_nothing_is_written_before_create(tmp_path):
    stage = StageDir.of(tmp_path, "label", OLD)
    assert stage.path == tmp_path / "label" / fingerprint(OLD) and not stage.path.exists()
    assert stage.problem() == "not started" and stage.changes() == []


def test_a_stage_is_complete_when_committed(tmp_path):
    stage = made(tmp_path)
    assert stage.problem() == "unfinished"
    (stage.path / "sub").mkdir()
    (stage.path / "sub" / "weights").write_text("w")
    stage.commit()
    again = StageDir.of(tmp_path, "label", dict(reversed(OLD.items())))
    assert again.path == stage.path and again.is_complete()
    marker = json.loads((stage.path / MARKER).read_text())
    assert marker["files"] == {PARTS: (stage.path / PARTS).stat().st_size, "sub/weights": 1}


def test_a_marker_counts_only_for_its_items(tmp_path):
    stage = made(tmp_path)
    stage.commit({"shard-1": "aa"})
    assert stage.is_complete({"shard-1": "aa"})
    assert stage.problem({"shard-1": "aa", "shard-2": "bb"}) == "its items changed"
    assert stage.problem() == "its items changed"


@pytest.mark.parametrize("damage", ["truncated", "gone"])
def test_a_damaged_file_makes_the_result_void(tmp_path, damage):
    stage = made(tmp_path)
    (stage.path / "weights").write_text("1234")
    (stage.path / "other").write_text("1234")
    stage.commit()
    if damage == "gone":
        (stage.path / "weights").unlink()
    else:
        (stage.path / "weights").write_text("12")
    assert str(stage.path / "weights") in (stage.problem() or "")
    assert len(stage.discard_damaged()) == 1
    assert not (stage.path / "weights").exists() and not (stage.path / "other").exists()
    assert stage.problem() == "unfinished" and stage.discard_damaged() == []


def test_a_marker_vouches_for_chosen_files_only(tmp_path):
    stage = made(tmp_path)
    for name in ("plan", "shard"):
        (stage.path / name).write_text("1")
    stage.commit(files=[stage.path / "plan"])
    (stage.path / "shard").unlink()
    assert stage.is_complete()


def test_a_training_commits_its_own_directory(tmp_path):
    stage = made(tmp_path)
    (stage.path / "weights").write_text("1")
    commit_dir(stage.path, {})
    assert stage.is_complete()


def test_a_fixed_path_serves_one_set_of_parts(tmp_path):
    old, new = (StageDir.of(tmp_path, "sample", parts, fixed=True) for parts in (OLD, NEW))
    assert old.path == new.path == tmp_path / "sample"
    old.create().commit()
    assert old.is_complete() and new.problem() == "made from other parts"
    assert new.changes() == ["teacher.epochs: 3 -> 4"]
    new.create()
    assert new.problem() == "unfinished" and old.problem() == "unfinished"


def test_another_config_shows_what_changed(tmp_path):
    made(tmp_path)
    assert StageDir.of(tmp_path, "label", NEW).changes() == ["teacher.epochs: 3 -> 4"]
    assert made(tmp_path, NEW).changes() == []  # it exists now
    assert StageDir.of(tmp_path, "align", NEW).changes() == []  # another stage has no past


def test_changes_compare_with_the_directory_used_last(tmp_path):
    for parts, used in ((OLD, 3000), (NEW, 2000)):
        os.utime(made(tmp_path, parts).path / PARTS, (used, used))
    assert StageDir.of(tmp_path, "label", {**OLD, "version": 2}).changes() == ["version: 1 -> 2"]
    made(tmp_path, NEW)  # used again, so now it is the last
    assert StageDir.of(tmp_path, "label", {**NEW, "version": 3}).changes() == ["version: 1 -> 3"]


def test_parts_that_do_not_fit_the_name_are_an_error(tmp_path):
    path = made(tmp_path).path / PARTS
    for text, words in (('{"x": 1}', "not the parts"), ("{", "corrupt"), ("[]", "corrupt")):
        path.write_text(text)
        with pytest.raises(UserError, match=words) as e:
            made(tmp_path)
        assert e.value.file == path and "delete" in e.value.remedy


def die_while_committing(out: Path, failpoint: str) -> None:
    os.environ["XNER_FAILPOINT"] = failpoint
    made(out).commit()


@pytest.mark.parametrize("step", ["opened", "half", "written", "synced", "named", "durable"])
def test_killed_while_committing(tmp_path, step):
    child = multiprocessing.get_context("fork").Process(target=die_while_committing, args=(tmp_path, f"done.{step}"))
    child.start()
    child.join(60)
    assert child.exitcode == -signal.SIGKILL
    assert StageDir.of(tmp_path, "label", OLD).is_complete() == (step in ("named", "durable"))
