"""What is logged can be read by people, and by machines that ask for JSON."""

from __future__ import annotations

import json
import logging
import re

import pytest

from xner_ray.cli.common import report_user_errors
from xner_ray.errors import UserError
from xner_ray.observability import logs


def lines(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def own_log():
    """The package's logger, put back as it was."""
    log = logging.getLogger("xner_ray")
    before = log.handlers[:], log.level, log.propagate
    yield log
    log.handlers, log.level, log.propagate = before


def test_lines_are_printed_as_they_are(monkeypatch, capsys, own_log):
    monkeypatch.delenv(logs.VARIABLE, raising=False)
    logs.teller("night")("[label] 2 shards")
    assert capsys.readouterr().out == "[label] 2 shards\n" and not own_log.handlers


def test_json_tells_run_and_stage_apart(monkeypatch, capsys, own_log):
    monkeypatch.setenv(logs.VARIABLE, "json")
    log = logs.teller("night")
    with logs.about(pairs=7):
        log("[label] zwölf \n Paare")
    log("no stage: [x] comes later")
    first, second = lines(capsys.readouterr().out)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", first.pop("time"))
    expected = {"level": "info", "run": "night", "stage": "label", "pairs": 7, "message": "zwölf \n Paare"}
    assert first == expected
    assert "stage" not in second and second["message"] == "no stage: [x] comes later"


def test_library_records_carry_what_they_are_about(monkeypatch, capsys, own_log):
    logs.log_to_stderr("json")
    logs.log_to_stderr("json")  # once a process
    log = logging.getLogger("xner_ray.storage.shard_store")
    with logs.about(run="night", stage="commit", shard="de-1"):
        log.warning("came %s", "second")
        try:
            raise ValueError("boom")
        except ValueError:
            log.exception("failed")
    log.info("outside")
    warned, failed, outside = lines(capsys.readouterr().err)
    assert (warned["run"], warned["stage"], warned["shard"]) == ("night", "commit", "de-1")
    assert (warned["level"], warned["message"], warned["logger"]) == ("warning", "came second", log.name)
    assert failed["traceback"].endswith("ValueError: boom") and "shard" not in outside


def test_plain_records_name_stage_and_shard(capsys, own_log):
    logs.log_to_stderr("lines")
    with logs.about(run="night", stage="label", shard="de-1"):
        logging.getLogger("xner_ray.labeling.isolation.bisection").warning("row %d is set aside: %s", 3, "killed")
    told = capsys.readouterr().err
    assert re.fullmatch(r"[\d-]+ [\d:,]+ WARNING \[label\] de-1: row 3 is set aside: killed\n", told)


def test_errors_for_the_user_are_json_too(monkeypatch, capsys):
    monkeypatch.setenv(logs.VARIABLE, "json")
    with pytest.raises(SystemExit), report_user_errors():
        raise UserError("no such config", file="x.yaml", remedy="check the path")
    told = lines(capsys.readouterr().err)[0]
    assert told["level"] == "error" and "x.yaml: no such config" in told["message"]


def test_an_unknown_form_is_refused(monkeypatch):
    monkeypatch.setenv(logs.VARIABLE, "xml")
    with pytest.raises(UserError, match="`xml` is no form of logs"):
        logs.teller("night")


def test_preflight_in_front_of_a_job_speaks_json_too(monkeypatch):
    from xner_ray.cli.preflight import line
    from xner_ray.preflight.checks import Finding

    monkeypatch.setenv(logs.VARIABLE, "json")
    told = json.loads(line(Finding("gpu", False, "no kernels", "another torch")))
    assert (told["level"], told["stage"], told["check"]) == ("error", "preflight", "gpu")
    assert told["message"] == "no kernels" and told["remedy"] == "another torch"
