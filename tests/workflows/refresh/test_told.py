"""The report of a night says what happened, also where the night failed or could not say so."""

from __future__ import annotations

import json

import pytest

from xner_ray.errors import UserError
from xner_ray.storage.local_disk import LocalDisk
from xner_ray.workflows.refresh.promotion import Compared, SetScore, as_rows
from xner_ray.workflows.refresh.refresh_report import RefreshReports, markdown

COUNT = {
    "read": 1760,
    "rows": 200,
    "duplicates": 1500,
    "dropped": {"length_ratio": 40},
    "quarantined": {"bad_utf8": 20},
}


def whole() -> dict:
    """A night that trained and did not promote."""
    compared = [
        Compared("de", [SetScore("silver-de", "silver", 80.0, 78.25, [-2.5, -1.0])]),
        Compared("zh", [SetScore("weibo", "gold", None, 40.0)]),
    ]
    return {
        "night": 7,
        "name": "t",
        "began": "2026-01-02T01:30:00+00:00",
        "seconds": 1234.5,
        "status": "not promoted",
        "current": 5,
        "ingested": {"de": {"News/2": COUNT}, "zh": {}},
        "work": [{"stage": "label", "seconds": 3.0, "amount": {"pairs": 200}}],
        "dataset": {"de": {"available": 1000, "sentences": 400, "entities": 500}},
        "why": ["de grew from 900 to 1,000 sentences"],
        "compared": as_rows(compared),
        "decision": ["de lost 1.75 points, the tolerance is 0.5"],
    }


def test_a_night_in_words():
    text = markdown(whole())
    for line in (
        "# Refresh 7 of t: not promoted",
        "Current are the students of refresh 5.",
        "| News/2 | de | 1,760 | 200 | 1,500 | 40 | 20 |",
        "200 pairs were labeled.",
        "Trained, since de grew from 900 to 1,000 sentences.",
        "| de | silver: silver-de | 80.00 | 78.25 | -1.75 [-2.50, -1.00] |",
        "| zh | gold: weibo |  | 40.00 |  |",
        "Not promoted: de lost 1.75 points, the tolerance is 0.5.",
    ):
        assert line in text.splitlines(), text
    assert "not accuracy" in text


def test_a_night_that_failed_is_told(tmp_path):
    store, said = LocalDisk(tmp_path), []
    nights = RefreshReports(store)
    report = {**nights.begin(1, "t", "m"), "status": "failed", "error": "x.zip: is truncated", "seconds": 1.0}
    nights.write(report, said.append)
    nights.write({**report, "night": 2}, said.append)
    assert [night["night"] for night in nights.all()] == [1, 2] and nights.all()[0] == report
    told = (tmp_path / "nights/000001.md").read_text()
    assert "failed" in told and "x.zip: is truncated" in told and "No students were promoted yet." in told
    assert json.loads((tmp_path / "nights/000002.json").read_text())["error"]


def test_a_report_that_cannot_be_written_hides_no_failure(tmp_path):
    (tmp_path / "nights").write_text("a file has this name")
    nights, said = RefreshReports(LocalDisk(tmp_path)), []
    report = nights.begin(1, "t", "m")
    nights.write({**report, "status": "failed", "error": "the true one"}, said.append)
    assert "the report could not be written" in said[0]
    with pytest.raises(UserError):
        nights.write({**report, "status": "promoted"}, said.append)
