"""The output directory of a run: one run owns it, and folders of other versions are refused."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.harness.study_tables import TINY
from xner_ray.cli.main import app
from xner_ray.errors import UserError
from xner_ray.storage.output_dir import RUN, check_format, claim_out, run_name
from xner_ray.storage.stage_dir import StageDir


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


TORN = ("", "{", "[]", "null", "{}", '{"name": ["demo"]}')


@pytest.mark.parametrize("text", TORN)
def test_a_torn_run_json_costs_no_result(tmp_path, text):
    claim_out(tmp_path, "demo", "demo.yaml")
    results = StageDir.of(tmp_path, "label", {"a": 1}).create()
    results.commit()
    (tmp_path / RUN).write_text(text)
    for read in (run_name, check_format):
        with pytest.raises(UserError) as e:
            read(tmp_path)
        assert e.value.file == tmp_path / RUN and f"xner run CONFIG out={tmp_path}" in e.value.remedy
    claim_out(tmp_path, "demo", "demo.yaml")
    assert run_name(tmp_path) == "demo" and results.is_complete()


def test_a_deleted_run_json_is_written_again(tmp_path):
    claim_out(tmp_path, "old", "demo.yaml")
    StageDir.of(tmp_path, "student/de", {"a": 1}).create().commit()
    with pytest.raises(UserError) as e:
        claim_out(tmp_path, "new", "demo.yaml")
    assert f"delete {tmp_path / RUN}" in e.value.remedy  # after a change of the key `name`
    (tmp_path / RUN).unlink()
    claim_out(tmp_path, "new", "demo.yaml")
    assert run_name(tmp_path) == "new"


def test_a_folder_without_run_json_has_no_name(tmp_path):
    with pytest.raises(UserError) as e:
        run_name(tmp_path)
    assert e.value.file == tmp_path and e.value.remedy


@pytest.fixture
def old_out(tmp_path) -> Path:
    """The output folder of a finished run of the first version."""
    out = tmp_path / "old"
    (out / "label" / "1abdb3004e4b").mkdir(parents=True)
    (out / RUN).write_text(json.dumps({"name": "tiny", "config": "configs/tiny.yaml"}))
    (out / "label" / "1abdb3004e4b" / "plan.json").write_text(json.dumps({"root": "x", "shards": {}, "ledger": []}))
    (out / "results.json").write_text(json.dumps({"folders": {"judged": "x"}, "config": {"refresh": {"lease": 300}}}))
    return out


def test_a_folder_of_another_version_is_refused_and_unchanged(old_out):
    before = sorted(old_out.rglob("*"))
    for call in (lambda: claim_out(old_out, "tiny", "tiny.yaml"), lambda: check_format(old_out, "tiny.yaml")):
        with pytest.raises(UserError, match="another version") as e:
            call()
        assert e.value.file == "tiny.yaml" and e.value.key == "out" and "out=" in e.value.remedy
    assert sorted(old_out.rglob("*")) == before


@pytest.mark.parametrize(
    "command",
    [
        ["plan", str(TINY), "out={out}"],
        ["refresh", str(TINY), "out={out}", "--dry-run"],
        ["status", "{out}"],
        ["quarantine", "list", "{out}"],
        ["report", "{out}"],
        ["show", "{out}"],
        ["export", "{out}", "--format", "conll", "--out", "{out}-export"],
    ],
    ids=lambda command: command[0],
)
def test_commands_refuse_a_folder_of_another_version(old_out, command):
    result = CliRunner().invoke(app, [word.format(out=old_out) for word in command])
    assert result.exit_code == 2 and "another version of xner wrote the folder" in result.stderr, result.stderr
    assert "remedy: choose a new folder" in result.stderr


def test_a_new_folder_passes(tmp_path):
    claim_out(tmp_path / "out", "demo", "demo.yaml")
    check_format(tmp_path / "out")
    check_format(tmp_path)  # no run wrote it


def test_a_dangling_symlink_is_an_error(tmp_path):
    (tmp_path / "out").symlink_to("nowhere")
    for check in (lambda out: check_format(out), lambda out: claim_out(out, "t", "c.yaml")):
        with pytest.raises(UserError) as caught:
            check(tmp_path / "out")
        assert caught.value.file == tmp_path / "out" and "out=" in caught.value.remedy


@pytest.mark.parametrize("name", ["loop", "a" * 300])
def test_the_preflight_reports_a_path_that_cannot_exist(tmp_path, name):
    (tmp_path / "loop").symlink_to("loop")
    result = CliRunner().invoke(app, ["preflight", str(TINY), f"out={tmp_path / name}"])
    assert result.exit_code == 2 and "cannot be used" in result.output and "out=" in result.output, result.output
