"""What is booked, with a recorder that only notes it; that Ray exports it is seen by tests/system/test_telemetry.py."""

from __future__ import annotations

import threading
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xner_ray.corpora.ingest_report import CorpusCount, IngestReport
from xner_ray.observability import metrics as told
from xner_ray.observability.metrics import METRICS, Recorder
from xner_ray.observability.run_metrics import LabelMetrics, book_ingest, book_verdicts
from xner_ray.projection.ledger import Ledger

GUARDED = ("tokenize", "label", "align")


class Noted(Recorder):
    """Counters add up, gauges keep their last value; names and labels are checked as always."""

    def __init__(self) -> None:
        super().__init__("night")
        self.totals: Counter[tuple[str, ...]] = Counter()

    def record(self, name: str, value: float, **labels: str) -> None:
        super().record(name, value, **labels)
        key = (name, *labels.values())
        self.totals[key] = value + (self.totals[key] if METRICS[name].kind == "counter" else 0)


rows = st.fixed_dictionaries(
    {
        "language": st.sampled_from(["de", "zh"]),
        **{
            key: st.integers(0, 1000)
            for key in ("rows", "entities", "label.tokens", "align.tokens", *(f"{s}.quarantined" for s in GUARDED))
        },
    }
)


@given(st.lists(rows, max_size=10), st.integers(0, 5))
def test_committed_shards_add_up_and_nothing_waits_at_the_end(shards, done_before):
    noted = Noted()
    metrics = LabelMetrics(noted, done_before + len(shards), len(shards), sum(s["rows"] for s in shards))
    assert noted.totals["xner_shards_planned",] == done_before + len(shards)
    for shard in shards:
        metrics.committed(shard)
    assert noted.totals["xner_shards_waiting",] == noted.totals["xner_pairs_waiting",] == 0
    for language in ("de", "zh"):
        mine = [s for s in shards if s["language"] == language]
        assert noted.totals["xner_pairs_labeled_total", language] == sum(s["rows"] for s in mine)
        for stage in ("label", "align"):
            assert noted.totals["xner_tokens_total", language, stage] == sum(s[f"{stage}.tokens"] for s in mine)


def test_ingest_and_rules_book_what_the_ledger_does():
    noted, ledger = Noted(), Ledger()
    count = CorpusCount(100, 0, 90, 80, 4, {"bad_utf8": 5}, {"language": 1})
    book_ingest(noted, IngestReport("de", 1, {"News": count}, [], {}))
    ledger.read("de", "News", "news", 90)
    for reason, pairs in {"kept": 50, "kept_no_entity": 20, "overlap": 7, "quarantined": 3}.items():
        ledger.add_dropped("de", "News", reason, pairs)
    cells = ledger.to_rows()
    for cell in cells:
        cell["counts"].pop("read")
    book_verdicts(noted, cells)
    assert noted.totals == {
        ("xner_pairs_ingested_total", "de"): 90,
        ("xner_pairs_quarantined_total", "de", "ingest"): 5,
        ("xner_pairs_dropped_total", "de", "ingest", "duplicate"): 4,
        ("xner_pairs_dropped_total", "de", "ingest", "language"): 1,
        ("xner_pairs_kept_total", "de", "kept"): 50,
        ("xner_pairs_kept_total", "de", "kept_no_entity"): 20,
        ("xner_pairs_dropped_total", "de", "rules", "overlap"): 7,
    }


def test_a_metric_that_is_not_declared_is_an_error():
    with pytest.raises(KeyError):
        Recorder("night").record("xner_nothing", 1)
    with pytest.raises(ValueError, match="has the labels"):
        Recorder("night").record("xner_tokens_total", 1, language="de")


class Gauge:
    """Says when it was set for the third time."""

    def __init__(self) -> None:
        self.seen: list[tuple[float, dict[str, str]]] = []
        self.thrice = threading.Event()

    def set(self, value: float, tags: dict[str, str]) -> None:
        self.seen.append((value, tags))
        if len(self.seen) >= 3:
            self.thrice.set()


def test_a_gauge_is_set_again_and_again(monkeypatch):
    gauge = Gauge()
    monkeypatch.setattr(told, "_AGAIN", 0.01)
    monkeypatch.setattr(told, "_joined", lambda: True)
    monkeypatch.setattr(told, "_instrument", lambda name: gauge)
    # Other tests of this process may have set gauges, of a Ray that is still there: those would be set again, too.
    monkeypatch.setattr(told, "_gauges", {})
    Recorder("night").record("xner_model_actors", 1, stage="label", device="gpu")
    assert gauge.thrice.wait(10)
    labels = {"run": "night", "stage": "label", "device": "gpu"}
    assert all(seen == (1.0, labels) for seen in gauge.seen)
    # What belonged to a Ray that this process has left is not told to the next.
    left = threading.Event()

    def away() -> bool:
        if not told._gauges:
            left.set()
        return False

    monkeypatch.setattr(told, "_joined", away)
    assert left.wait(10) and not told._gauges
