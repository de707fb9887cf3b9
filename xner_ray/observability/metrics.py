"""The metrics of a run, exported by Ray beside its own: each node's agent serves them, with `ray_` in front of the name.

The driver counts pairs, as each committed shard is reported to it, once: so the sums agree with the ledger, and do not suffer
when workers come and go. Workers count only seconds, of which a killed one may lose the last ten. What it trades: commits by
workers that outlive a killed driver are in the ledger and in no counter.

A gauge keeps its last value until its process ends. Ray 2.60 alone does not see to that: its agent forgets a gauge that was
not set for two report intervals (`RAY_metrics_report_interval_ms`, 10 s each), so a thread sets them again.
"""

from __future__ import annotations

import functools
import threading
import time
from dataclasses import dataclass
from typing import Any, Literal

_AGAIN = 1.0  # seconds; less than two of any report interval that people use
_SECONDS = (0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0)


@dataclass(frozen=True)
class Metric:
    """`labels`: beside `run`, which all have."""

    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()


METRICS = {
    "xner_pairs_ingested_total": Metric(
        "counter", "Pairs that ingest read, before it drops any; the ledger's `read`.", ("language",)
    ),
    "xner_pairs_labeled_total": Metric(
        "counter",
        "Pairs of shards that were labeled and committed, each shard once, quarantined pairs included.",
        ("language",),
    ),
    "xner_pairs_kept_total": Metric(
        "counter", "Pairs of judged shards that the rules kept; verdict: kept or kept_no_entity.", ("language", "verdict")
    ),
    "xner_pairs_dropped_total": Metric(
        "counter",
        "Pairs dropped; stage: ingest (duplicates, cleaning) or rules; reason: as in the ledger.",
        ("language", "stage", "reason"),
    ),
    "xner_pairs_quarantined_total": Metric(
        "counter",
        "Pairs set aside because they cannot be read, labeled or aligned, counted when their shard is committed;"
        " stage: ingest, label or align.",
        ("language", "stage"),
    ),
    "xner_entities_labeled_total": Metric(
        "counter", "Entities that the teacher found in committed shards.", ("language",)
    ),
    "xner_tokens_total": Metric(
        "counter",
        "Tokens that models read for committed shards, without padding; stage: label or align. Work that was lost"
        " and done again counts once.",
        ("language", "stage"),
    ),
    "xner_shards_planned": Metric("gauge", "Shards of this labeling, done ones included."),
    "xner_shards_waiting": Metric("gauge", "Shards of this labeling that are not committed."),
    "xner_pairs_waiting": Metric("gauge", "Pairs of shards that are not committed."),
    "xner_progress_timestamp_seconds": Metric(
        "gauge", "Unix time of the last commit, or of the start of labeling while there was none."
    ),
    "xner_model_actors": Metric(
        "gauge",
        "1 for each actor that holds a model; stage: label or align (on CPUs an actor is both); device: gpu or cpu, as Ray"
        " assigned it.",
        ("stage", "device"),
    ),
    "xner_forward_seconds_total": Metric(
        "counter",
        "Seconds in forward passes, counted at the end of each shard, lost attempts included. Its rate over the sum of"
        " xner_model_actors is the busy share, stage by stage; on CPUs the two stages share an actor, and their shares add up.",
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
    """Records metrics of one run in this process.

    What is recorded before this process has joined a Ray waits until it has; in a process that never does, nothing happens.

    Args:
        run: the run's name, a label of all.
    """

    def __init__(self, run: str):
        self.run = run
        self._waiting: list[tuple[str, float, dict[str, str]]] = []

    def record(self, name: str, value: float, **labels: str) -> None:
        """Add to a counter (nothing for 0), set a gauge, or observe.

        Raises:
            KeyError: no such metric. ValueError: not the metric's labels.
        """
        metric = METRICS[name]
        if set(labels) != set(metric.labels):
            raise ValueError(f"{name} has the labels {metric.labels}, got {tuple(labels)}")
        if value or metric.kind != "counter":
            self._waiting.append((name, float(value), {"run": self.run, **labels}))
        if _joined():
            waiting, self._waiting = self._waiting, []
            for item in waiting:
                _write(*item)


def _joined() -> bool:
    """Whether this process belongs to a Ray. Ray is not imported to find out: it costs a second."""
    import sys

    joined = getattr(sys.modules.get("ray"), "is_initialized", None)  # none, too, while another thread imports it
    return joined is not None and joined()


def _write(name: str, value: float, labels: dict[str, str]) -> None:
    instrument, metric = _instrument(name), METRICS[name]
    act = {"counter": "inc", "gauge": "set", "histogram": "observe"}[metric.kind]
    getattr(instrument, act)(value, tags=labels)
    if metric.kind == "gauge":
        _gauges[name, tuple(labels.items())] = value
        _keeper()


_gauges: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}


@functools.cache
def _keeper() -> threading.Thread:
    """The thread that sets this process's gauges again; it starts at the first one."""
    thread = threading.Thread(target=_keep, name="xner-gauges", daemon=True)
    thread.start()
    return thread


def _keep() -> None:
    while True:
        time.sleep(_AGAIN)
        if not _joined():
            _gauges.clear()  # the next Ray that this process joins is another one
            continue
        for (name, labels), value in list(_gauges.items()):
            # A value that was set since `items` is not lost for long: the next round has it.
            _instrument(name).set(value, tags=dict(labels))


@functools.cache
def _instrument(name: str) -> Any:
    from ray.util import metrics

    metric = METRICS[name]
    labels = ("run", *metric.labels)
    if metric.kind == "histogram":
        return metrics.Histogram(name, metric.help, list(_SECONDS), labels)
    return (metrics.Counter if metric.kind == "counter" else metrics.Gauge)(name, metric.help, labels)
