"""What the driver books in metrics: pairs that came in, shards that were committed, and what the rules said of them.

The same numbers as in ingest reports and manifests, from where they become known; each shard is reported to the driver once.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

from xner_ray.corpora.ingest_report import IngestReport
from xner_ray.observability.metrics import Recorder
from xner_ray.schema import DUPLICATE, KEPT, KEPT_NO_ENTITY, QUARANTINED


class LabelMetrics:
    """The metrics of one labeling.

    Args:
        planned: shards of the labeling.
        waiting, pairs: shards that are to be done, and their pairs.
    """

    def __init__(self, recorder: Recorder, planned: int, waiting: int, pairs: int):
        self.record, self.waiting, self.pairs = recorder.record, waiting, pairs
        self.record("xner_shards_planned", planned)
        self._left()

    def committed(self, row: Mapping[str, Any]) -> None:
        """Count a shard by the row that `shard_actors.commit_shard` gives."""
        language = row["language"]
        self.record("xner_pairs_labeled_total", row["rows"], language=language)
        self.record("xner_entities_labeled_total", row["entities"], language=language)
        for stage in ("label", "align"):
            self.record("xner_tokens_total", row[f"{stage}.tokens"], language=language, stage=stage)
        for stage in ("tokenize", "label", "align"):
            self.record("xner_pairs_quarantined_total", row[f"{stage}.quarantined"], language=language, stage=stage)
        self.waiting, self.pairs = self.waiting - 1, self.pairs - row["rows"]
        self._left()

    def _left(self) -> None:
        self.record("xner_shards_waiting", self.waiting)
        self.record("xner_pairs_waiting", self.pairs)
        self.record("xner_progress_timestamp_seconds", time.time())


def book_ingest(recorder: Recorder, report: IngestReport) -> None:
    """Count a language's pairs once they are ingested."""
    language = report.language
    for count in report.corpora.values():
        recorder.record("xner_pairs_ingested_total", count.sampled, language=language)
        recorder.record("xner_pairs_quarantined_total", count.rejected, language=language, stage="ingest")
        for reason, rows in {DUPLICATE: count.duplicates, **count.dropped}.items():
            recorder.record("xner_pairs_dropped_total", rows, language=language, stage="ingest", reason=reason)


def book_verdicts(recorder: Recorder, cells: Iterable[Mapping[str, Any]]) -> None:
    """Count a judged shard by its ledger's rows; what was quarantined is counted since labeling."""
    for cell in cells:
        language = cell["language"]
        for name, rows in cell["counts"].items():
            if name in (KEPT, KEPT_NO_ENTITY):
                recorder.record("xner_pairs_kept_total", rows, language=language, verdict=name)
            elif name != QUARANTINED:
                recorder.record("xner_pairs_dropped_total", rows, language=language, stage="rules", reason=name)
