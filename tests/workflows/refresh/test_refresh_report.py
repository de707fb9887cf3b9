"""The report of a refresh, also of a failed one, and one that cannot be written."""

from __future__ import annotations

import json

import pytest

from xner_ray.errors import UserError
from xner_ray.storage.local_disk import LocalDisk
from xner_ray.workflows.refresh.promotion import Comparison, SetScore, comparison_rows
from xner_ray.workflows.refresh.refresh_report import RefreshReports, markdown

COUNT = {
    "read": 1760,
    "rows": 200,
    "duplicates": 1500,
    "dropped": {"length_ratio": 40},
    "quarantined": {"bad_utf8": 20},
}


def report_without_promotion() -> dict:
    """The report of a refresh that trained and did not promote."""
    comparisons = [
        Comparison("de", [SetScore("silver-de", "silver", 80.0, 78.25, [-2.5, -1.0])]),
        Comparison("zh", [SetScore("weibo", "gold", None, 40.0)]),
    ]
    return {
        "number": 7,
        "name": "t",
        "started": "2026-01-02T01:30:00+00:00",
        "seconds": 1234.5,
        "status": "not promoted",
        "current": 5,
        "ingested": {"de": {"News/2": COUNT}, "zh": {}},
        "work": [{"stage": "label", "seconds": 3.0, "amount": {"pairs": 200}}],
        "dataset": {"de": {"available": 1000, "sentences": 400, "entities": 500}},
        "reasons": ["de grew from 900 to 1,000 sentences"],
        "comparisons": comparison_rows(comparisons),
        "decision": ["de lost 1.75 points, more than the 0.5 allowed"],
        "warnings": ["the student of zh is below zero-transfer on weibo. The better model: teacher/f/model"],
    }


def test_markdown_has_all_parts():
    text = markdown(report_without_promotion())
    for line in (
        "# Refresh 7 of t: not promoted",
        "The current students are those of refresh 5.",
        "| News/2 | de | 1,760 | 200 | 1,500 | 40 | 20 |",
        "200 pairs were labeled.",
        "Trained, because de grew from 900 to 1,000 sentences.",
        "| de | silver: silver-de | 80.00 | 78.25 | -1.75 [-2.50, -1.00] |",
        "| zh | gold: weibo |  | 40.00 |  |",
        "Not promoted: de lost 1.75 points, more than the 0.5 allowed.",
        "Warning: the student of zh is below zero-transfer on weibo. The better model: teacher/f/model",
    ):
        assert line in text.splitlines(), text
    assert "It is not accuracy." in text


def test_failed_refresh_has_a_report(tmp_path):
    store, lines = LocalDisk(tmp_path), []
    reports = RefreshReports(store)
    report = {**reports.begin(1, "t", "m"), "status": "failed", "error": "x.zip: is truncated", "seconds": 1.0}
    reports.write(report, lines.append)
    reports.write({**report, "number": 2}, lines.append)
    assert [one["number"] for one in reports.all()] == [1, 2] and reports.all()[0] == report
    text = (tmp_path / "reports/000001.md").read_text()
    assert "failed" in text and "x.zip: is truncated" in text and "No students were promoted yet." in text
    assert json.loads((tmp_path / "reports/000002.json").read_text())["error"]


def test_unwritable_report_does_not_hide_the_failure(tmp_path):
    (tmp_path / "reports").write_text("a file has this name")
    reports, lines = RefreshReports(LocalDisk(tmp_path)), []
    report = reports.begin(1, "t", "m")
    reports.write({**report, "status": "failed", "error": "the true one"}, lines.append)
    assert "the report could not be written" in lines[0]
    with pytest.raises(UserError):
        reports.write({**report, "status": "promoted"}, lines.append)
