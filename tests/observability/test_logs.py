"""Logs in both formats: plain lines, and JSON objects with run, stage and shard as fields."""

from __future__ import annotations

import json
import logging
import re

import pytest

from xner_ray.cli.console import report_user_errors
from xner_ray.errors import UserError
from xner_ray.observability import logs


def lines(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def package_logger():
    """The package's logger; its handlers are restored after the test."""
    logger = logging.getLogger("xner_ray")
    before = logger.handlers[:], logger.level, logger.propagate
    yield logger
    logger.handlers, logger.level, logger.propagate = before


def test_lines_are_printed_as_they_are(monkeypatch, capsys, package_logger):
    monkeypatch.delenv(logs.VARIABLE, raising=False)
    logs.run_logger("nightly")("[label] 2 shards")
    assert capsys.readouterr().out == "[label] 2 shards\n" and not package_logger.handlers


def test_json_has_run_and_stage_as_fields(monkeypatch, capsys, package_logger):
    monkeypatch.setenv(logs.VARIABLE, "json")
    log = logs.run_logger("nightly")
    with logs.log_fields(pairs=7):
        log("[label] zwölf \n Paare")
    log("no stage: [x] comes later")
    first, second = lines(capsys.readouterr().out)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", first.pop("time"))
    expected = {"level": "info", "run": "nightly", "stage": "label", "pairs": 7, "message": "zwölf \n Paare"}
    assert first == expected
    assert "stage" not in second and second["message"] == "no stage: [x] comes later"


def test_log_records_carry_the_fields_of_their_block(monkeypatch, capsys, package_logger):
    logs.log_to_stderr("json")
    logs.log_to_stderr("json")  # adds no second handler
    log = logging.getLogger("xner_ray.storage.shard_store")
    with logs.log_fields(run="nightly", stage="commit", shard="de-1"):
        log.warning("came %s", "second")
        try:
            raise ValueError("boom")
        except ValueError:
            log.exception("failed")
    log.info("outside")
    warned, failed, outside = lines(capsys.readouterr().err)
    assert (warned["run"], warned["stage"], warned["shard"]) == ("nightly", "commit", "de-1")
    assert (warned["level"], warned["message"], warned["logger"]) == ("warning", "came second", log.name)
    assert failed["traceback"].endswith("ValueError: boom") and "shard" not in outside


def test_plain_records_name_stage_and_shard(capsys, package_logger):
    logs.log_to_stderr("lines")
    with logs.log_fields(run="nightly", stage="label", shard="de-1"):
        logging.getLogger("xner_ray.labeling.isolation.bisection").warning("row %d is quarantined: %s", 3, "killed")
    text = capsys.readouterr().err
    assert re.fullmatch(r"[\d-]+ [\d:,]+ WARNING \[label\] de-1: row 3 is quarantined: killed\n", text)


def test_user_errors_are_json_too(monkeypatch, capsys):
    monkeypatch.setenv(logs.VARIABLE, "json")
    with pytest.raises(SystemExit), report_user_errors():
        raise UserError("no such config", file="x.yaml", remedy="check the path")
    record = lines(capsys.readouterr().err)[0]
    assert record["level"] == "error" and "x.yaml: no such config" in record["message"]


def test_unknown_format_is_an_error(monkeypatch):
    monkeypatch.setenv(logs.VARIABLE, "xml")
    with pytest.raises(UserError, match="XNER_LOG"):
        logs.run_logger("nightly")


def test_preflight_of_a_job_logs_json_too(monkeypatch):
    from xner_ray.cli.preflight import format_result
    from xner_ray.preflight.checks import CheckResult

    monkeypatch.setenv(logs.VARIABLE, "json")
    record = json.loads(format_result(CheckResult("gpu", False, "no kernels", "another torch")))
    assert (record["level"], record["stage"], record["check"]) == ("error", "preflight", "gpu")
    assert record["message"] == "no kernels" and record["remedy"] == "another torch"
