"""Stage folders and the claim on an output folder."""

from __future__ import annotations

import multiprocessing
import os
import signal
from pathlib import Path

import pytest

from xner_ray.errors import UserError
from xner_ray.storage.fingerprint import fingerprint
from xner_ray.storage.stage_dir import claim_out, open_stage

OLD = {"teacher": {"epochs": 3}, "version": 1}
NEW = {"teacher": {"epochs": 4}, "version": 1}


def test_a_stage_is_done_when_marked(tmp_path):
    stage = open_stage(tmp_path, "label", OLD)
    assert stage.path == tmp_path / "label" / fingerprint(OLD)
    assert not stage.is_done and stage.info is None and stage.changes() == []
    (stage.path / "sub").mkdir()
    (stage.path / "sub" / "weights").write_text("w")
    stage.mark_done({"rows": 7})
    again = open_stage(tmp_path, "label", dict(reversed(OLD.items())))
    assert again.path == stage.path and again.is_done and again.info == {"rows": 7} and again.parts == OLD


def test_another_config_says_what_changed(tmp_path):
    old = open_stage(tmp_path, "label", OLD)
    new = open_stage(tmp_path, "label", NEW)
    assert new.path != old.path and new.changed_from == old.path
    assert new.changes() == ["teacher.epochs: 3 -> 4"]
    assert open_stage(tmp_path, "label", NEW).changes() == []  # it exists now
    assert open_stage(tmp_path, "align", NEW).changes() == []  # another stage has no past


def test_changes_are_told_from_the_folder_used_last(tmp_path):
    for parts, used in ((OLD, 3000), (NEW, 2000)):
        os.utime(open_stage(tmp_path, "label", parts).path / "parts.json", (used, used))
    assert open_stage(tmp_path, "label", {**OLD, "version": 2}).changes() == ["version: 1 -> 2"]
    open_stage(tmp_path, "label", NEW)  # used again, so now it is the last
    os.utime(tmp_path / "label" / fingerprint({**OLD, "version": 2}) / "parts.json", (1000, 1000))
    assert open_stage(tmp_path, "label", {**NEW, "version": 3}).changes() == ["version: 1 -> 3"]


def test_parts_that_do_not_fit_the_name_are_an_error(tmp_path):
    path = open_stage(tmp_path, "label", OLD).path / "parts.json"
    for text, words in (('{"x": 1}', "not the parts"), ("{", "corrupt"), ("[]", "corrupt")):
        path.write_text(text)
        with pytest.raises(UserError, match=words) as e:
            open_stage(tmp_path, "label", OLD)
        assert e.value.file == path and "delete" in e.value.remedy


def die_while_marking(out: Path, failpoint: str) -> None:
    os.environ["XNER_FAILPOINT"] = failpoint
    open_stage(out, "label", OLD).mark_done({"rows": 7})


@pytest.mark.parametrize("step", ["opened", "half", "written", "synced", "named", "durable"])
def test_killed_while_marking(tmp_path, step):
    child = multiprocessing.get_context("fork").Process(target=die_while_marking, args=(tmp_path, f"done.{step}"))
    child.start()
    child.join(60)
    assert child.exitcode == -signal.SIGKILL
    assert open_stage(tmp_path, "label", OLD).info == ({"rows": 7} if step in ("named", "durable") else None)


def test_an_out_belongs_to_one_name(tmp_path):
    out = tmp_path / "deep" / "out"
    claim_out(out, "demo", "demo.yaml")
    (out / "label").mkdir()
    claim_out(out, "demo", "demo-copy.yaml")
    with pytest.raises(UserError, match="'demo', not to 'real'") as e:
        claim_out(out, "real", "real.yaml")
    assert e.value.file == "real.yaml" and e.value.key == "out" and "out=" in e.value.remedy


def test_somebody_elses_folder_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(UserError, match=r"thesis\.tex") as e:
        claim_out(tmp_path, "demo", "demo.yaml")
    assert e.value.file == "demo.yaml" and e.value.key == "out" and e.value.remedy
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]
    with pytest.raises(UserError):
        claim_out(tmp_path / "thesis.tex", "demo", "demo.yaml")


def test_what_a_killed_claim_left_does_not_block(tmp_path):
    (tmp_path / f"run.json.{'0' * 16}.tmp").write_text("{")
    claim_out(tmp_path, "demo", "demo.yaml")
    claim_out(tmp_path, "demo", "demo.yaml")


def claim(out: Path, name: str, barrier, results) -> None:
    barrier.wait()
    try:
        claim_out(out, name, f"{name}.yaml")
        results.put(name)
    except UserError as e:
        results.put(None if "belongs to the run" in e.problem else str(e))


def test_racing_claims_have_one_winner(tmp_path):
    context = multiprocessing.get_context("fork")
    barrier, results = context.Barrier(6), context.Queue()
    processes = [context.Process(target=claim, args=(tmp_path / "o", f"r{i % 3}", barrier, results)) for i in range(6)]
    for p in processes:
        p.start()
    answers = [results.get(timeout=60) for _ in processes]
    for p in processes:
        p.join(60)
    assert answers.count(None) == 4 and len({a for a in answers if a}) == 1
