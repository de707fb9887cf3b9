"""The report of a night: JSON for machines and later nights, Markdown for people; failed nights write one, too."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from xner_ray.storage.blob_store import BlobStore

_NUMBER = re.compile(r"(?:.*/)?(\d{6})\.json")


class RefreshReports:
    """The reports in one place."""

    def __init__(self, store: BlobStore):
        self.store = store

    def begin(self, number: int, name: str, models: str) -> dict[str, Any]:
        """A report to fill in. models: what labels, since speeds hold for the same ones alone."""
        began = datetime.now(UTC).isoformat(timespec="seconds")
        return {"night": number, "name": name, "began": began, "status": "begun", "models": models}

    def write(self, report: dict[str, Any], log: Callable[[str], None]) -> None:
        """Write a report; that of a failed night must not hide what made it fail."""
        files = {"json": json.dumps(report, indent=1, ensure_ascii=False) + "\n", "md": markdown(report)}
        try:
            for end, text in files.items():
                self.store.write(f"nights/{report['night']:06d}.{end}", text.encode(), "night")
        except Exception as e:
            if report["status"] != "failed":
                raise
            log(f"[refresh] the report could not be written: {e}")

    def all(self) -> list[dict[str, Any]]:
        """Every report, oldest first."""
        names = sorted(name for name in self.store.list("nights") if _NUMBER.fullmatch(name))
        return [json.loads(data) for name in names if (data := self.store.read(name))]


def device_told() -> str | None:
    """What the Ray of this night has, e.g. `8 GPUs (V100), 64 CPUs`; None where none was needed."""
    import ray

    if not ray.is_initialized():
        return None
    has = ray.cluster_resources()
    kinds = sorted(x.partition(":")[2] for x in has if x.startswith("accelerator_type:"))
    gpus = f"{has['GPU']:g} GPUs ({', '.join(kinds) or 'of no known type'}), " if has.get("GPU") else ""
    return f"{gpus}{has.get('CPU', 0):g} CPUs"


def markdown(report: dict[str, Any]) -> str:
    """The report for people."""
    return "\n".join([*_head(report), *_corpora(report), *_dataset(report), *_compared(report)]) + "\n"


def _head(report: dict[str, Any]) -> Iterator[str]:
    yield f"# Refresh {report['night']} of {report['name']}: {report['status']}"
    yield ""
    yield f"Began {report['began']}, took {report.get('seconds', 0):,.0f} s."
    current = report.get("current")
    yield f"Current are the students of refresh {current}." if current else "No students were promoted yet."
    if error := report.get("error"):
        yield from ("", "```", error, "```")


def _corpora(report: dict[str, Any]) -> Iterator[str]:
    if not any(report.get("ingested", {}).values()):
        return
    yield from (
        "",
        "| corpus | language | read | new | known or twice | dropped | quarantined |",
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
    yield from ("", "| language | sentences to choose from | chosen | entities |", "|---|--:|--:|--:|")
    for language, told in report["dataset"].items():
        yield f"| {language} | {told['available']:,} | {told['sentences']:,} | {told['entities']:,} |"
    yield ""
    yield (
        "; ".join(["Trained, since", *report["why"]]).replace("since;", "since") + "."
        if report["why"]
        else "Nothing was trained."
    )


def _compared(report: dict[str, Any]) -> Iterator[str]:
    if not report.get("compared"):
        return
    yield from ("", "| language | measured on | F1 before | after | change, 95% |", "|---|---|--:|--:|--:|")
    for row in report["compared"]:
        for one in row["sets"]:
            before = "" if one["before"] is None else f"{one['before']:.2f}"
            change = "" if one["before"] is None else f"{one['after'] - one['before']:+.2f}"
            if one["interval"]:
                change += " [{:+.2f}, {:+.2f}]".format(*one["interval"])
            yield f"| {row['language']} | {one['kind']}: {one['name']} | {before} | {one['after']:.2f} | {change} |"
    silver = any(one["kind"] == "silver" for row in report["compared"] for one in row["sets"])
    yield ""
    yield f"{report['status'].capitalize()}: {'; '.join(report['decision'])}."
    if silver:
        yield "Silver is agreement with projected labels on sentences that nobody trains on, not accuracy."
