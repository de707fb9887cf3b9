"""What the driver records, with a recorder that keeps totals. tests/system/test_telemetry.py checks that Ray exports it."""

from __future__ import annotations

import threading
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xner_ray.corpora.ingest_report import CorpusCount
from xner_ray.observability import metrics as metrics_module
from xner_ray.observability.metrics import METRICS, Recorder
from xner_ray.observability.run_metrics import LabelMetrics, record_ingest, record_verdicts
from xner_ray.projection.ledger import Ledger

GUARDED = ("tokenize", "label", "align")


class Totals(Recorder):
    """Sums counters and keeps the last value of gauges. Names and labels are checked as in every recorder."""

    def __init__(self) -> None:
        super().__init__("nightly")
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
def test_committed_shards_add_up_and_none_waits_at_the_end(shards, done_before):
    recorder = Totals()
    metrics = LabelMetrics(recorder, done_before + len(shards), len(shards), sum(s["rows"] for s in shards))
    assert recorder.totals["xner_shards_planned",] == done_before + len(shards)
    for shard in shards:
        metrics.shard_committed(shard)
    assert recorder.totals["xner_shards_waiting",] == recorder.totals["xner_pairs_waiting",] == 0
    for language in ("de", "zh"):
        mine = [s for s in shards if s["language"] == language]
        assert recorder.totals["xner_pairs_labeled_total", language] == sum(s["rows"] for s in mine)
        for stage in ("label", "align"):
            assert recorder.totals["xner_tokens_total", language, stage] == sum(s[f"{stage}.tokens"] for s in mine)


def test_ingest_and_rules_record_the_numbers_of_the_ledger():
    recorder, ledger = Totals(), Ledger()
    count = CorpusCount(100, 0, 90, 80, 4, {"bad_utf8": 5}, {"language": 1})
    record_ingest(recorder, "de", [count])
    ledger.count_read("de", "News", "news", 90)
    for reason, pairs in {"kept": 50, "kept_no_entity": 20, "overlap": 7, "quarantined": 3}.items():
        ledger.count_dropped("de", "News", reason, pairs)
    cells = ledger.to_rows()
    for cell in cells:
        cell["counts"].pop("read")
    record_verdicts(recorder, cells)
    assert recorder.totals == {
        ("xner_pairs_ingested_total", "de"): 90,
        ("xner_pairs_quarantined_total", "de", "ingest"): 5,
        ("xner_pairs_dropped_total", "de", "ingest", "duplicate"): 4,
        ("xner_pairs_dropped_total", "de", "ingest", "language"): 1,
        ("xner_pairs_kept_total", "de", "kept"): 50,
        ("xner_pairs_kept_total", "de", "kept_no_entity"): 20,
        ("xner_pairs_dropped_total", "de", "filter", "overlap"): 7,
    }


def test_undeclared_metric_or_label_is_an_error():
    with pytest.raises(KeyError):
        Recorder("nightly").record("xner_nothing", 1)
    with pytest.raises(ValueError, match="has the labels"):
        Recorder("nightly").record("xner_tokens_total", 1, language="de")


class Gauge:
    """Sets an event when it is set for the third time."""

    def __init__(self) -> None:
        self.values: list[tuple[float, dict[str, str]]] = []
        self.third_time = threading.Event()

    def set(self, value: float, tags: dict[str, str]) -> None:
        self.values.append((value, tags))
        if len(self.values) >= 3:
            self.third_time.set()


def test_gauges_are_set_again_until_ray_is_left(monkeypatch):
    gauge = Gauge()
    monkeypatch.setattr(metrics_module, "_GAUGE_INTERVAL", 0.01)
    monkeypatch.setattr(metrics_module, "_ray_is_initialized", lambda: True)
    monkeypatch.setattr(metrics_module, "_instrument", lambda name: gauge)
    # Other tests of this process may have set gauges of a Ray that still runs. The thread would set them again, too.
    monkeypatch.setattr(metrics_module, "_gauges", {})
    Recorder("nightly").record("xner_model_actors", 1, device="gpu")
    assert gauge.third_time.wait(10)
    labels = {"run": "nightly", "device": "gpu"}
    assert all(value == (1.0, labels) for value in gauge.values)
    # The gauges of a Ray cluster that this process has left are not exported to the next.
    cleared = threading.Event()

    def not_initialized() -> bool:
        if not metrics_module._gauges:
            cleared.set()
        return False

    monkeypatch.setattr(metrics_module, "_ray_is_initialized", not_initialized)
    assert cleared.wait(10) and not metrics_module._gauges
