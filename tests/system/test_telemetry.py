"""A real run exports every metric and label that the dashboard and the alerts query, with sums that agree with the ledger."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.harness.null_runs import NAME, NullRuns, free_port, ray_head
from tests.harness.promql_queries import RULES, queried_labels, rules, targets, variables
from xner_ray.observability.metrics import METRICS
from xner_ray.projection.ledger import Ledger
from xner_ray.storage.shard_store import ShardStore

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
PROMETHEUS = RULES.with_name("prometheus.yaml")
EXPORT_SECONDS = 2.0  # between two exports of a Ray process; a small run takes less than the default of ten


@dataclass
class ObservedRun:
    """A finished run, with its metrics and logs.

    Attributes:
        out: its output folder.
        labels: names of the labels of each series.
        last: last value by (series, labels). Ray's agent keeps the counters of dead processes.
        help: help text of each metric.
        answers: whether Prometheus had an answer to each query; None: Prometheus is not installed.
        rule_health: state of each alert rule.
        actors: names of the actors in Ray's dashboard.
        logs: texts of the log files of workers.
        output: what the driver printed.
    """

    out: Path
    labels: dict[str, set[str]] = field(default_factory=dict)
    last: dict[tuple[str, frozenset], float] = field(default_factory=dict)
    help: dict[str, str] = field(default_factory=dict)
    answers: dict[str, bool] | None = None
    rule_health: dict[str, str] = field(default_factory=dict)
    actors: set[str] = field(default_factory=set)
    logs: list[str] = field(default_factory=list)
    output: str = ""

    def total(self, name: str, **labels: str) -> float:
        """Sum of the last values of a counter over all series with these labels."""
        subset = frozenset(labels.items())
        return sum(value for (n, of), value in self.last.items() if n == f"ray_{name}" and subset <= of)

    def scrape(self, url: str) -> None:
        """Read the metrics that Ray's agent exports."""
        with urllib.request.urlopen(url, timeout=30) as response:
            text = response.read().decode()
        for family in text_string_to_metric_families(text):
            self.help[family.name + ("_total" if family.type == "counter" else "")] = family.documentation
            for sample in family.samples:
                self.labels.setdefault(sample.name, set()).update(sample.labels)
                if sample.name.startswith("ray_xner_"):
                    self.last[sample.name, frozenset(sample.labels.items())] = sample.value


@pytest.fixture(scope="module")
def observed(tmp_path_factory) -> ObservedRun:
    """A run with poisoned rows on a Ray with two fake GPUs, which the null model does not use."""
    dashboard, metrics, folder = free_port(), free_port(), tmp_path_factory.mktemp("run")
    options = [
        "--include-dashboard=true", f"--dashboard-port={dashboard}", f"--dashboard-agent-grpc-port={free_port()}",
        f"--metrics-export-port={metrics}", "--num-gpus=2",
    ]  # fmt: skip
    with pytest.MonkeyPatch.context() as patch, contextlib.ExitStack() as stack:
        patch.setenv("RAY_metrics_report_interval_ms", str(int(1000 * EXPORT_SECONDS)))
        head = stack.enter_context(ray_head(4, *options))
        patch.setenv("XNER_LOG", "json")
        patch.setenv("XNER_LOG_EVERY", "0")
        runs = NullRuns(folder, head.address, pairs=400, poison=True)
        out = runs.new_out()
        observed, start = ObservedRun(out), time.time()
        with _prometheus(folder, head.folder / "prom_metrics_service_discovery.json") as prometheus:
            _await(f"http://127.0.0.1:{metrics}/metrics")
            driver = runs.start(out)
            try:
                while driver.poll() is None:
                    observed.scrape(f"http://127.0.0.1:{metrics}/metrics")
                    time.sleep(1)
            finally:
                driver.kill()
            observed.output = out.with_suffix(".log").read_text()
            assert driver.returncode == 0, observed.output[-3000:]
            time.sleep(3 * EXPORT_SECONDS)
            observed.scrape(f"http://127.0.0.1:{metrics}/metrics")
            if prometheus:
                observed.answers, observed.rule_health = _query(prometheus, start)
        observed.actors = _actors(f"127.0.0.1:{dashboard}")
        files = (head.folder / "session_latest" / "logs").glob("worker-*.err")
        observed.logs = [file.read_text(errors="replace") for file in files]
    return observed


def _await(url: str, seconds: float = 120) -> None:
    """Wait until a URL answers. Ray's agent exports metrics only some seconds after its node is up."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            urllib.request.urlopen(url, timeout=30).close()
            return
        except OSError:
            assert time.monotonic() < deadline, f"{url} does not answer"
            time.sleep(0.5)


class _prometheus:  # noqa: N801  # a context
    """A Prometheus that scrapes the targets of Ray's service discovery file; its address, or None if it is not installed."""

    def __init__(self, folder: Path, discovery: Path):
        self.folder, self.discovery, self.process = folder, discovery, None

    def __enter__(self) -> str | None:
        if shutil.which("prometheus") is None:
            return None
        config = yaml.safe_load(PROMETHEUS.read_text())
        config["global"] = {"scrape_interval": "2s", "scrape_timeout": "2s", "evaluation_interval": "2s"}
        config["rule_files"] = [str(RULES)]
        config["scrape_configs"][0]["file_sd_configs"][0]["files"] = [str(self.discovery)]
        (self.folder / "prometheus.yaml").write_text(yaml.safe_dump(config))
        port = free_port()
        command = [
            "prometheus", f"--config.file={self.folder}/prometheus.yaml", f"--web.listen-address=127.0.0.1:{port}",
            f"--storage.tsdb.path={self.folder}/tsdb",
        ]  # fmt: skip
        self.process = subprocess.Popen(command, stderr=(self.folder / "prometheus.log").open("w"))
        return f"http://127.0.0.1:{port}"

    def __exit__(self, *_: object) -> None:
        if self.process:
            self.process.terminate()
            self.process.wait(60)


def _query(prometheus: str, start: float) -> tuple[dict[str, bool], dict[str, str]]:
    """Whether each query has an answer at any time of the run, and the state of each rule."""

    def get(path: str, **arguments: Any) -> Any:
        url = f"{prometheus}/api/v1/{path}?{urllib.parse.urlencode(arguments)}"
        with urllib.request.urlopen(url, timeout=60) as response:
            return json.load(response)["data"]

    answers = {}
    for query in [*variables(), *(q for _, q in targets())]:
        answers[query] = bool(get("query_range", query=query, start=start, end=time.time(), step=1)["result"])
    groups = get("rules")["groups"]
    return answers, {rule["name"]: rule["health"] for group in groups for rule in group["rules"]}


def _actors(dashboard: str) -> set[str]:
    from ray.util.state import list_actors

    return {actor.name for actor in list_actors(f"http://{dashboard}", limit=1000, timeout=60) if actor.name}


@pytest.mark.parametrize("query", [*variables(), *(q for _, q in targets()), *(q for _, q in rules())])
def test_every_queried_metric_is_exported(observed, query):
    for metric, labels in queried_labels(query).items():
        assert metric in observed.labels, f"{metric} is not exported"
        assert labels <= observed.labels[metric], f"{metric} has no {labels - observed.labels[metric]}"


def test_every_declared_metric_is_exported_with_its_help(observed):
    for name, metric in METRICS.items():
        assert observed.help[f"ray_{name}"] == metric.help
        assert {"run", *metric.labels} <= observed.labels[
            f"ray_{name}_bucket" if metric.kind == "histogram" else f"ray_{name}"
        ]


def test_sums_agree_with_ledger_and_manifests(observed):
    ledger = json.loads(next(observed.out.glob("filter/*/ledger.json")).read_text())
    committed = ShardStore(next(observed.out.glob("label/*/manifest")).parent).committed().values()
    for language, counts in ledger["by_language"].items():
        assert observed.total("xner_pairs_ingested_total", language=language) == counts["read"]
        assert observed.total("xner_pairs_quarantined_total", language=language) == counts["quarantined"]
        for verdict in ("kept", "kept_no_entity"):
            assert observed.total("xner_pairs_kept_total", language=language, verdict=verdict) == counts[verdict]
        for reason, rows in counts["dropped"].items():
            assert observed.total("xner_pairs_dropped_total", language=language, reason=reason) == rows
    assert observed.total("xner_pairs_quarantined_total", stage="label") > 0
    assert observed.total("xner_pairs_labeled_total") == sum(m.rows for m in committed)
    assert observed.total("xner_entities_labeled_total") == sum(m.extra["entities"] for m in committed)
    for stage in ("label", "align"):
        assert (
            observed.total("xner_tokens_total", stage=stage) == sum(m.extra[f"{stage}.tokens"] for m in committed) > 0
        )
    assert Ledger.from_rows(ledger["cells"]).to_json() == ledger["total"]


def test_forward_seconds_count_for_the_assigned_device(observed):
    assert observed.total("xner_forward_seconds_total", device="gpu") > 0
    assert observed.total("xner_forward_seconds_total", device="cpu") == 0


def test_prometheus_answers_every_query_of_the_dashboard(observed):
    if observed.answers is None:
        pytest.skip("prometheus is not installed (Debian: package prometheus)")
    assert [query for query, answered in observed.answers.items() if not answered] == []
    assert set(observed.rule_health.values()) == {"ok"} and observed.rule_health.keys() == {
        alert for alert, _ in rules()
    }


def test_actors_are_named_by_their_stage(observed):
    kinds = Counter(name.partition("#")[0] for name in observed.actors)
    assert kinds.keys() >= {"prepare:shard", "model:shard", "commit:shard"}
    assert "model:shard#1" in observed.actors


def test_logs_are_json_with_run_stage_and_shard(observed):
    driver_lines = [
        json.loads(line) for line in observed.output.splitlines() if line.startswith("{")
    ]  # Ray prints other lines
    last = [line for line in driver_lines if line.get("stage") == "label" and "pairs_per_second" in line][-1]
    assert last["shards"] == last["shards_planned"] and last["run"] == NAME and last["quarantined"] > 0
    lines = [json.loads(line) for text in observed.logs for line in text.splitlines() if line.startswith('{"time"')]
    levels = Counter((line["stage"], line["level"]) for line in lines)
    assert {stage for stage, level in levels if level == "info"} == {"read", "tokenize", "label", "align", "commit"}
    assert levels["label", "warning"] >= 1
    shards = {line["shard"] for line in lines}
    assert all(line["run"] == NAME for line in lines) and len(shards) == last["shards_planned"]
