"""The metrics that the driver records: pairs that ingest read, shards that were committed, and verdicts of the rules.

The numbers are those of the ingest reports and the manifests. Each shard is reported to the driver once.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from xner_ray.observability.metrics import Recorder
from xner_ray.schema import DUPLICATE, KEPT, KEPT_NO_ENTITY, QUARANTINED


class LabelMetrics:
    """The metrics of one labeling.

    Args:
        recorder: records them.
        planned: shards of the labeling.
        waiting: those of the shards that are not committed yet.
        pairs: pairs in the shards that are not committed yet.
    """

    def __init__(self, recorder: Recorder, planned: int, waiting: int, pairs: int):
        self.record, self.waiting, self.pairs = recorder.record, waiting, pairs
        self.record("xner_shards_planned", planned)
        self._record_remaining()

    def shard_committed(self, row: Mapping[str, Any]) -> None:
        """Count a shard.

        Args:
            row: the row that the commit of a shard returns, see `labeling.actors`.
        """
        language = row["language"]
        self.record("xner_pairs_labeled_total", row["rows"], language=language)
        self.record("xner_entities_labeled_total", row["entities"], language=language)
        for stage in ("label", "align"):
            self.record("xner_tokens_total", row[f"{stage}.tokens"], language=language, stage=stage)
        for stage in ("tokenize", "label", "align"):
            self.record("xner_pairs_quarantined_total", row[f"{stage}.quarantined"], language=language, stage=stage)
        self.waiting, self.pairs = self.waiting - 1, self.pairs - row["rows"]
        self._record_remaining()

    def _record_remaining(self) -> None:
        self.record("xner_shards_waiting", self.waiting)
        self.record("xner_pairs_waiting", self.pairs)
        self.record("xner_progress_timestamp_seconds", time.time())


class PairCounts(Protocol):
    """The pairs of one corpus after ingest, see `corpora.ingest_report.CorpusCount`."""

    @property
    def sampled(self) -> int: ...

    @property
    def num_quarantined(self) -> int: ...

    @property
    def duplicates(self) -> int: ...

    @property
    def dropped(self) -> Mapping[str, int]: ...


def record_ingest(recorder: Recorder, language: str, corpora: Iterable[PairCounts]) -> None:
    """Count a language's pairs after its ingest.

    Args:
        recorder: records them.
        language: the target language.
        corpora: the counts of each corpus.
    """
    for counts in corpora:
        recorder.record("xner_pairs_ingested_total", counts.sampled, language=language)
        recorder.record("xner_pairs_quarantined_total", counts.num_quarantined, language=language, stage="ingest")
        for reason, pairs in {DUPLICATE: counts.duplicates, **counts.dropped}.items():
            recorder.record("xner_pairs_dropped_total", pairs, language=language, stage="ingest", reason=reason)


def record_verdicts(recorder: Recorder, cells: Iterable[Mapping[str, Any]]) -> None:
    """Count the verdicts of a filtered shard. Quarantined pairs were counted when the shard was labeled.

    Args:
        recorder: records them.
        cells: the rows of the shard's ledger, see `Ledger.to_rows`.
    """
    for cell in cells:
        language = cell["language"]
        for verdict, pairs in cell["counts"].items():
            if verdict in (KEPT, KEPT_NO_ENTITY):
                recorder.record("xner_pairs_kept_total", pairs, language=language, verdict=verdict)
            elif verdict != QUARANTINED:
                recorder.record("xner_pairs_dropped_total", pairs, language=language, stage="filter", reason=verdict)
