"""The metrics of a run. Ray exports them beside its own: the agent of each node serves them, prefixed with `ray_`.

The driver counts pairs. Each committed shard is reported to it once, so the sums agree with the ledger when workers start and
stop. Workers count only seconds; a killed worker may lose the last ten. Limit: a shard that a worker commits after the driver
was killed is in the ledger but in no counter.

A gauge keeps its last value until its process ends. Ray 2.60 does not ensure this: its agent drops a gauge that was not set for
two report intervals (`RAY_metrics_report_interval_ms`, 10 s each). A thread therefore sets all gauges again.
"""

from __future__ import annotations

import functools
import threading
import time
from dataclasses import dataclass
from typing import Any, Literal

_GAUGE_INTERVAL = 1.0  # seconds; shorter than any usual report interval
_BUCKETS = (0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0)


@dataclass(frozen=True)
class Metric:
    """A declared metric.

    Attributes:
        kind: how values are combined.
        help: the text that Prometheus shows.
        labels: label names, without `run`, which every metric has.
    """

    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()


METRICS = {
    "xner_pairs_ingested_total": Metric(
        "counter", "Pairs that ingest read, before it drops any; the ledger's `read`.", ("language",)
    ),
    "xner_pairs_labeled_total": Metric(
        "counter",
        "Pairs of labeled and committed shards, quarantined pairs included; each shard counts once.",
        ("language",),
    ),
    "xner_pairs_kept_total": Metric(
        "counter", "Pairs that the filters kept; verdict: kept or kept_no_entity.", ("language", "verdict")
    ),
    "xner_pairs_dropped_total": Metric(
        "counter",
        "Pairs dropped; stage: ingest (duplicates, cleaning) or filter; reason: as in the ledger.",
        ("language", "stage", "reason"),
    ),
    "xner_pairs_quarantined_total": Metric(
        "counter",
        "Pairs that cannot be read, labeled or aligned, counted when their shard is committed;"
        " stage: ingest, tokenize, label or align.",
        ("language", "stage"),
    ),
    "xner_entities_labeled_total": Metric(
        "counter", "Entities that the teacher found in committed shards.", ("language",)
    ),
    "xner_tokens_total": Metric(
        "counter",
        "Tokens that models processed for committed shards, without padding; stage: label or align. A repeated attempt"
        " counts once.",
        ("language", "stage"),
    ),
    "xner_shards_planned": Metric("gauge", "Shards of this labeling, including those that are done."),
    "xner_shards_waiting": Metric("gauge", "Shards of this labeling that are not committed."),
    "xner_pairs_waiting": Metric("gauge", "Pairs of shards that are not committed."),
    "xner_progress_timestamp_seconds": Metric(
        "gauge", "Unix time of the last commit; before the first commit, Unix time of the start of labeling."
    ),
    "xner_model_actors": Metric(
        "gauge",
        "1 for each actor that runs teacher and aligner; device: gpu or cpu, as Ray assigned it.",
        ("device",),
    ),
    "xner_forward_seconds_total": Metric(
        "counter",
        "Seconds in forward passes, counted at the end of each shard, failed attempts included. Its rate over both stages,"
        " divided by the sum of xner_model_actors, is the utilization of the actors.",
        ("stage", "device"),
    ),
    "xner_shard_queue_seconds": Metric(
        "histogram", "Seconds that a shard waited before a stage: tokenize, label, align or commit.", ("stage",)
    ),
    "xner_shard_processing_seconds": Metric(
        "histogram", "Seconds of a shard (Ray Data's batch) in a stage: read, tokenize, label, align or commit.", ("stage",)
    ),
}  # fmt: skip


class Recorder:
    """Records the metrics of one run in this process.

    Values that are recorded before this process is connected to Ray are exported once it is. In a process that never connects,
    nothing is exported.

    Args:
        run: the run's name, a label of every metric.
    """

    def __init__(self, run: str):
        self.run = run
        self._pending: list[tuple[str, float, dict[str, str]]] = []

    def record(self, name: str, value: float, **labels: str) -> None:
        """Add to a counter (0 is ignored), set a gauge, or observe a value for a histogram.

        Args:
            name: a key of METRICS.
            value: in the metric's unit.
            labels: exactly the metric's labels.

        Raises:
            KeyError: no such metric.
            ValueError: the labels are not the metric's.
        """
        metric = METRICS[name]
        if set(labels) != set(metric.labels):
            raise ValueError(f"{name} has the labels {metric.labels}, got {tuple(labels)}")
        if value or metric.kind != "counter":
            self._pending.append((name, float(value), {"run": self.run, **labels}))
        if _ray_is_initialized():
            pending, self._pending = self._pending, []
            for record in pending:
                _export(*record)


def _ray_is_initialized() -> bool:
    """Whether this process is connected to Ray. It does not import Ray, which takes a second."""
    import sys

    # The attribute is missing while another thread imports Ray.
    is_initialized = getattr(sys.modules.get("ray"), "is_initialized", None)
    return is_initialized is not None and is_initialized()


def _export(name: str, value: float, labels: dict[str, str]) -> None:
    instrument, metric = _instrument(name), METRICS[name]
    method = {"counter": "inc", "gauge": "set", "histogram": "observe"}[metric.kind]
    getattr(instrument, method)(value, tags=labels)
    if metric.kind == "gauge":
        _gauges[name, tuple(labels.items())] = value
        _gauge_thread()


_gauges: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}


@functools.cache
def _gauge_thread() -> threading.Thread:
    """The thread that sets this process's gauges again; the first gauge starts it."""
    thread = threading.Thread(target=_repeat_gauges, name="xner-gauges", daemon=True)
    thread.start()
    return thread


def _repeat_gauges() -> None:
    while True:
        time.sleep(_GAUGE_INTERVAL)
        if not _ray_is_initialized():
            _gauges.clear()  # they belong to the Ray cluster that this process has left
            continue
        for (name, labels), value in list(_gauges.items()):
            # This may overwrite a value that was set after `items`; the next iteration restores it.
            _instrument(name).set(value, tags=dict(labels))


@functools.cache
def _instrument(name: str) -> Any:
    from ray.util import metrics

    metric = METRICS[name]
    labels = ("run", *metric.labels)
    if metric.kind == "histogram":
        return metrics.Histogram(name, metric.help, list(_BUCKETS), labels)
    return (metrics.Counter if metric.kind == "counter" else metrics.Gauge)(name, metric.help, labels)
