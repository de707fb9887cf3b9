"""The report of a refresh as JSON, which later refreshes read, and as Markdown. A failed refresh writes one, too."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from pydantic import TypeAdapter, ValidationError

from xner_ray.errors import UserError
from xner_ray.storage.blob_store import BlobStore

_NUMBER = re.compile(r"(?:.*/)?(\d{6})\.json")
_REPORT: TypeAdapter[dict[str, Any]] = TypeAdapter(dict[str, Any])


class RefreshReports:
    """The reports in a store."""

    def __init__(self, store: BlobStore):
        self.store = store

    def begin(self, number: int, name: str, models: str) -> dict[str, Any]:
        """A new report.

        Args:
            number: of the refresh.
            name: of the run.
            models: the models that label. The measured speeds are valid for these models only.
        """
        started = datetime.now(UTC).isoformat(timespec="seconds")
        return {"number": number, "name": name, "started": started, "status": "running", "models": models}

    def write(self, report: dict[str, Any], log: Callable[[str], None]) -> None:
        """Write a report. If the refresh failed, an error of this write is only logged, so that it does not hide the first error.

        Args:
            report: the report.
            log: receives that error.
        """
        files = {"json": json.dumps(report, indent=1, ensure_ascii=False) + "\n", "md": markdown(report)}
        try:
            for suffix, text in files.items():
                self.store.write(f"reports/{report['number']:06d}.{suffix}", text.encode(), "report")
        except Exception as e:
            if report["status"] != "failed":
                raise
            log(f"[refresh] the report could not be written: {e}")

    def all(self) -> list[dict[str, Any]]:
        """All reports, oldest first."""
        names = sorted(name for name in self.store.list("reports") if _NUMBER.fullmatch(name))
        reports = []
        for name in names:
            try:
                reports.append(_REPORT.validate_json(self.store.read(name) or b""))
            except ValidationError as e:
                remedy = "delete this file: only its measured speeds are lost"
                raise UserError("is damaged", file=self.store.path(name), remedy=remedy) from e
        return reports


def markdown(report: dict[str, Any]) -> str:
    """The report in Markdown."""
    return "\n".join([*_head(report), *_corpora(report), *_dataset(report), *_compared(report)]) + "\n"


def _head(report: dict[str, Any]) -> Iterator[str]:
    yield f"# Refresh {report['number']} of {report['name']}: {report['status']}"
    yield ""
    yield f"Started {report['started']}, took {report.get('seconds', 0):,.0f} s."
    current = report.get("current")
    yield f"The current students are those of refresh {current}." if current else "No students were promoted yet."
    if error := report.get("error"):
        yield from ("", "```", error, "```")


def _corpora(report: dict[str, Any]) -> Iterator[str]:
    if not any(report.get("ingested", {}).values()):
        return
    yield from (
        "",
        "| corpus | language | read | new | duplicates | dropped | quarantined |",
        "|---|---|--:|--:|--:|--:|--:|",
    )
    for language, corpora in report["ingested"].items():
        for label, count in corpora.items():
            dropped, quarantined = (sum(count[key].values()) for key in ("dropped", "quarantined"))
            cells = (count["read"], count["rows"], count["duplicates"], dropped, quarantined)
            yield f"| {label} | {language} | " + " | ".join(f"{n:,}" for n in cells) + " |"
    pairs = sum(w["amount"].get("pairs", 0) for w in report.get("work", ()) if w["stage"] == "label")
    yield from ("", f"{pairs:,} pairs were labeled.")


def _dataset(report: dict[str, Any]) -> Iterator[str]:
    if not report.get("dataset"):
        return
    yield from ("", "| language | candidate sentences | selected | entities |", "|---|--:|--:|--:|")
    for language, row in report["dataset"].items():
        yield f"| {language} | {row['available']:,} | {row['sentences']:,} | {row['entities']:,} |"
    yield ""
    yield f"Trained, because {'; '.join(report['reasons'])}." if report["reasons"] else "Nothing was trained."
    if pinned := report.get("pinned"):
        yield f"Version {pinned} is pinned: `xner refresh CONFIG --unpin` lets refreshes promote again."


def _compared(report: dict[str, Any]) -> Iterator[str]:
    if not report.get("comparisons"):
        return
    yield from (
        "",
        "| language | evaluation set | F1 before | after | change, 95% interval |",
        "|---|---|--:|--:|--:|",
    )
    for row in report["comparisons"]:
        for score in row["sets"]:
            before = "" if score["before"] is None else f"{score['before']:.2f}"
            change = "" if score["before"] is None else f"{score['after'] - score['before']:+.2f}"
            if score["interval"]:
                change += " [{:+.2f}, {:+.2f}]".format(*score["interval"])
            yield f"| {row['language']} | {score['kind']}: {score['name']} | {before} | {score['after']:.2f} | {change} |"
    silver = any(score["kind"] == "silver" for row in report["comparisons"] for score in row["sets"])
    yield ""
    yield f"{report['status'].capitalize()}: {'; '.join(report['decision'])}."
    for warning in report.get("warnings", ()):
        yield from ("", f"Warning: {warning}")
    if silver:
        yield "Silver F1 is the agreement with projected labels on held-out sentences. It is not accuracy."
