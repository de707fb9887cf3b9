"""What a real run exports: every metric and label that dashboard and alerts ask for, with sums that agree with the ledger."""

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
EXPORT = 2.0  # seconds after which a process of Ray exports again; ten by default, which a small run is over in


@dataclass
class Seen:
    """A run that is over, and what was seen of it.

    Attributes:
        labels: series name -> labels that it had.
        last: (name, labels) -> the last value; Ray's agent keeps the counters of processes that are gone.
        help: metric -> help text.
        answers: query -> whether Prometheus had an answer to it; None where Prometheus is not installed.
        actors: names of actors, as Ray's dashboard has them.
        logs: files of workers. said: what the driver printed.
    """

    out: Path
    labels: dict[str, set[str]] = field(default_factory=dict)
    last: dict[tuple[str, frozenset], float] = field(default_factory=dict)
    help: dict[str, str] = field(default_factory=dict)
    answers: dict[str, bool] | None = None
    rule_health: dict[str, str] = field(default_factory=dict)
    actors: set[str] = field(default_factory=set)
    logs: list[str] = field(default_factory=list)
    said: str = ""

    def total(self, name: str, **wanted: str) -> float:
        """Sum of a counter's last values."""
        has = frozenset(wanted.items())
        return sum(value for (n, labels), value in self.last.items() if n == f"ray_{name}" and has <= labels)

    def scrape(self, url: str) -> None:
        with urllib.request.urlopen(url, timeout=30) as answer:
            text = answer.read().decode()
        for family in text_string_to_metric_families(text):
            self.help[family.name + ("_total" if family.type == "counter" else "")] = family.documentation
            for sample in family.samples:
                self.labels.setdefault(sample.name, set()).update(sample.labels)
                if sample.name.startswith("ray_xner_"):
                    self.last[sample.name, frozenset(sample.labels.items())] = sample.value


@pytest.fixture(scope="module")
def seen(tmp_path_factory) -> Seen:
    """A run with poison on a Ray with two GPUs (which the null model does not touch), watched from outside."""
    dashboard, metrics, folder = free_port(), free_port(), tmp_path_factory.mktemp("run")
    options = [
        "--include-dashboard=true", f"--dashboard-port={dashboard}", f"--dashboard-agent-grpc-port={free_port()}",
        f"--metrics-export-port={metrics}", "--num-gpus=2",
    ]  # fmt: skip
    with pytest.MonkeyPatch.context() as patch, contextlib.ExitStack() as stack:
        patch.setenv("RAY_metrics_report_interval_ms", str(int(1000 * EXPORT)))
        head = stack.enter_context(ray_head(4, *options))
        patch.setenv("XNER_LOG", "json")
        patch.setenv("XNER_LOG_EVERY", "0")
        runs = NullRuns(folder, head.address, pairs=400, poison=True)
        out = runs.new_out()
        seen, began = Seen(out), time.time()
        with _prometheus(folder, head.folder / "prom_metrics_service_discovery.json") as prometheus:
            _await(f"http://127.0.0.1:{metrics}/metrics")
            driver = runs.start(out)
            try:
                while driver.poll() is None:
                    seen.scrape(f"http://127.0.0.1:{metrics}/metrics")
                    time.sleep(1)
            finally:
                driver.kill()
            seen.said = out.with_suffix(".log").read_text()
            assert driver.returncode == 0, seen.said[-3000:]
            time.sleep(3 * EXPORT)
            seen.scrape(f"http://127.0.0.1:{metrics}/metrics")
            if prometheus:
                seen.answers, seen.rule_health = _ask(prometheus, began)
        seen.actors = _actors(f"127.0.0.1:{dashboard}")
        files = (head.folder / "session_latest" / "logs").glob("worker-*.err")
        seen.logs = [file.read_text(errors="replace") for file in files]
    return seen


def _await(url: str, seconds: float = 120) -> None:
    """Ray's agent exports some seconds after its node is up."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            urllib.request.urlopen(url, timeout=30).close()
            return
        except OSError:
            assert time.monotonic() < deadline, f"{url} does not answer"
            time.sleep(0.5)


class _prometheus:  # noqa: N801  # a context
    """A Prometheus that scrapes what Ray's service discovery file names; its address, or None where it is not installed."""

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


def _ask(prometheus: str, began: float) -> tuple[dict[str, bool], dict[str, str]]:
    """Whether each query has an answer for some moment of the run, and how the rules are."""

    def get(path: str, **arguments: Any) -> Any:
        url = f"{prometheus}/api/v1/{path}?{urllib.parse.urlencode(arguments)}"
        with urllib.request.urlopen(url, timeout=60) as answer:
            return json.load(answer)["data"]

    answers = {}
    for query in [*variables(), *(q for _, q in targets())]:
        answers[query] = bool(get("query_range", query=query, start=began, end=time.time(), step=1)["result"])
    groups = get("rules")["groups"]
    return answers, {rule["name"]: rule["health"] for group in groups for rule in group["rules"]}


def _actors(dashboard: str) -> set[str]:
    from ray.util.state import list_actors

    return {actor.name for actor in list_actors(f"http://{dashboard}", limit=1000, timeout=60) if actor.name}


@pytest.mark.parametrize("query", [*variables(), *(q for _, q in targets()), *(q for _, q in rules())])
def test_what_is_asked_for_is_exported(seen, query):
    for metric, labels in queried_labels(query).items():
        assert metric in seen.labels, f"{metric} is not exported"
        assert labels <= seen.labels[metric], f"{metric} has no {labels - seen.labels[metric]}"


def test_all_that_is_declared_is_exported_with_its_help(seen):
    for name, metric in METRICS.items():
        assert seen.help[f"ray_{name}"] == metric.help
        assert {"run", *metric.labels} <= seen.labels[
            f"ray_{name}_bucket" if metric.kind == "histogram" else f"ray_{name}"
        ]


def test_sums_agree_with_ledger_and_manifests(seen):
    ledger = json.loads(next(seen.out.glob("dataset/*/ledger.json")).read_text())
    committed = ShardStore(next(seen.out.glob("label/*/manifest")).parent).committed().values()
    for language, books in ledger["by_language"].items():
        assert seen.total("xner_pairs_ingested_total", language=language) == books["read"]
        assert seen.total("xner_pairs_quarantined_total", language=language) == books["quarantined"]
        for verdict in ("kept", "kept_no_entity"):
            assert seen.total("xner_pairs_kept_total", language=language, verdict=verdict) == books[verdict]
        for reason, rows in books["dropped"].items():
            assert seen.total("xner_pairs_dropped_total", language=language, reason=reason) == rows
    assert seen.total("xner_pairs_quarantined_total", stage="label") > 0
    assert seen.total("xner_pairs_labeled_total") == sum(m.rows for m in committed)
    assert seen.total("xner_entities_labeled_total") == sum(m.extra["entities"] for m in committed)
    for stage in ("label", "align"):
        assert seen.total("xner_tokens_total", stage=stage) == sum(m.extra[f"{stage}.tokens"] for m in committed) > 0
    assert Ledger.from_rows(ledger["cells"]).to_json() == ledger["total"]


def test_models_are_busy_on_what_ray_gave_them(seen):
    assert seen.total("xner_forward_seconds_total", device="gpu") > 0
    assert seen.total("xner_forward_seconds_total", device="cpu") == 0


def test_prometheus_answers_every_query_of_the_dashboard(seen):
    if seen.answers is None:
        pytest.skip("prometheus is not installed (Debian: package prometheus)")
    assert [query for query, answered in seen.answers.items() if not answered] == []
    assert set(seen.rule_health.values()) == {"ok"} and seen.rule_health.keys() == {alert for alert, _ in rules()}


def test_actors_have_names_that_tell_what_they_do(seen):
    kinds = Counter(name.partition("#")[0] for name in seen.actors)
    assert kinds.keys() >= {"read:shard", "tokenize:shard", "label:teacher", "align:aligner", "commit:shard"}
    assert "label:teacher#1" in seen.actors


def test_logs_are_json_with_run_stage_and_shard(seen):
    said = [json.loads(line) for line in seen.said.splitlines() if line.startswith("{")]  # Ray says things, too
    last = [line for line in said if line.get("stage") == "label" and "pairs_per_second" in line][-1]
    assert last["shards"] == last["shards_planned"] and last["run"] == NAME and last["quarantined"] > 0
    lines = [json.loads(line) for text in seen.logs for line in text.splitlines() if line.startswith('{"time"')]
    told = Counter((line["stage"], line["level"]) for line in lines)
    assert {stage for stage, level in told if level == "info"} == {"read", "tokenize", "label", "align", "commit"}
    assert told["label", "warning"] >= 1
    shards = {line["shard"] for line in lines}
    assert all(line["run"] == NAME for line in lines) and len(shards) == last["shards_planned"]
