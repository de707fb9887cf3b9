"""Dashboard and alert rules: Grafana's and Prometheus' own parsers accept them, and they query declared metrics only.

tests/system/test_telemetry.py checks that Ray exports these metrics.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import promql_parser as promql
import pytest
from grafana_foundation_sdk.cog import plugins
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from tests.harness.promql_queries import RULES, base_name, dashboard, queried_labels, rules, targets, variables
from xner_ray.observability.metrics import METRICS

RAY_METRICS = {"ray_node_cpu_utilization", "ray_node_mem_used", "ray_node_mem_total", "ray_object_store_memory"}
RAY_LABELS = {"SessionName", "Location"}
ALL = [*targets(), *rules(), *(("variable", q) for q in variables())]


@pytest.mark.parametrize(("source", "expression"), ALL)
def test_every_query_uses_declared_metrics_and_labels(source, expression):
    for metric, labels in queried_labels(expression).items():
        if metric in RAY_METRICS:
            continue
        declared = METRICS[base_name(metric)]
        assert (declared.kind == "histogram") == metric.endswith("_bucket")
        known = {"run", *declared.labels, *RAY_LABELS} | ({"le"} if declared.kind == "histogram" else set())
        assert labels <= known


def test_every_metric_is_in_a_panel_or_an_alert():
    shown = {base_name(metric) for _, expression in ALL for metric in queried_labels(expression)}
    assert shown >= METRICS.keys()


def test_names_follow_the_prometheus_conventions():
    for name, metric in METRICS.items():
        assert name.startswith("xner_") and name == name.lower()
        assert name.endswith("_total") == (metric.kind == "counter")
        assert ("_seconds" in name) == ("econds" in metric.help or "Unix time" in metric.help)
        assert metric.help.strip().endswith(".")


def test_grafana_knows_every_field_of_the_dashboard():
    plugins.register_default_plugins()
    ours = dashboard()
    theirs = json.loads(json.dumps(Dashboard.from_json(ours), cls=JSONEncoder))
    assert _kept(ours, theirs) == ours
    panels = [p for p in ours["panels"] if p["type"] != "row"]
    assert len({p["id"] for p in ours["panels"]}) == len(ours["panels"])
    assert all(p["gridPos"]["x"] + p["gridPos"]["w"] <= 24 for p in panels)


def _kept(ours, theirs):
    """The parts of `ours` that are also in `theirs`, which has defaults besides."""
    if isinstance(ours, dict):
        return {k: _kept(v, theirs[k]) for k, v in ours.items() if k in theirs}
    if isinstance(ours, list):
        return [_kept(a, b) for a, b in zip(ours, theirs, strict=True)]
    return theirs


def test_labels_of_selectors_and_groupings_are_found():
    labels = queried_labels('sum by (a) (rate(x{b="1"}[5m])) / on (a) (y{c!="2"} or 0 * max(z))')
    assert labels == {"x": {"a", "b"}, "y": {"a", "c"}, "z": set()}
    with pytest.raises(ValueError):
        promql.parse("sum by (x (y)")


ALERTS = """
rule_files: [{rules}]
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series:
      # stuck: commits until minute 5, then none. fine: commits all the time. over: no commits, but no shard waits.
      - {{series: 'ray_xner_progress_timestamp_seconds{{run="stuck"}}', values: '0+60x5 300x60'}}
      - {{series: 'ray_xner_shards_waiting{{run="stuck"}}', values: '5x66'}}
      - {{series: 'ray_xner_progress_timestamp_seconds{{run="fine"}}', values: '0+60x66'}}
      - {{series: 'ray_xner_shards_waiting{{run="fine"}}', values: '5x66'}}
      - {{series: 'ray_xner_progress_timestamp_seconds{{run="over"}}', values: '0x66'}}
      - {{series: 'ray_xner_shards_waiting{{run="over"}}', values: '0x66'}}
    alert_rule_test:
      - {{eval_time: 15m, alertname: XnerNoProgress}}
      - eval_time: 16m
        alertname: XnerNoProgress
        exp_alerts:
          - exp_labels: {{run: stuck, severity: critical}}
            exp_annotations:
              summary: "stuck: no shard was committed for 11m 0s"
              description: {no_progress}
  - interval: 1m
    input_series:
      # bad: 2%, in two stages on one node, labeled on two nodes. fine: exactly 1%, and 5% in ingest. over: 5%, but finished.
      - {{series: 'ray_xner_pairs_quarantined_total{{run="bad", stage="label", language="de"}}', values: '15x5'}}
      - {{series: 'ray_xner_pairs_quarantined_total{{run="bad", stage="align", language="zh"}}', values: '5x5'}}
      - {{series: 'ray_xner_pairs_labeled_total{{run="bad", instance="a"}}', values: '400x5'}}
      - {{series: 'ray_xner_pairs_labeled_total{{run="bad", instance="b"}}', values: '600x5'}}
      - {{series: 'ray_xner_shards_planned{{run="bad"}}', values: '9x5'}}
      - {{series: 'ray_xner_pairs_quarantined_total{{run="fine", stage="label"}}', values: '10x5'}}
      - {{series: 'ray_xner_pairs_quarantined_total{{run="fine", stage="ingest"}}', values: '50x5'}}
      - {{series: 'ray_xner_pairs_labeled_total{{run="fine"}}', values: '1000x5'}}
      - {{series: 'ray_xner_shards_planned{{run="fine"}}', values: '9x5'}}
      - {{series: 'ray_xner_pairs_quarantined_total{{run="over", stage="label"}}', values: '50x5'}}
      - {{series: 'ray_xner_pairs_labeled_total{{run="over"}}', values: '1000x5'}}
    alert_rule_test:
      - eval_time: 0m
        alertname: XnerQuarantineHigh
        exp_alerts:
          - exp_labels: {{run: bad, severity: warning}}
            exp_annotations:
              summary: "bad: 2% of the labeled pairs are quarantined"
              description: {quarantine}
  - interval: 1m
    input_series:
      # idle: two GPU actors, busy for 6 s per minute together. busy: 48 s per minute. cpu: idle CPU. over: no shard waits.
      - {{series: 'ray_xner_forward_seconds_total{{run="idle", device="gpu", stage="label"}}', values: '0+6x40'}}
      - {{series: 'ray_xner_model_actors{{run="idle", device="gpu", WorkerId="1"}}', values: '1x40'}}
      - {{series: 'ray_xner_model_actors{{run="idle", device="gpu", WorkerId="2"}}', values: '1x40'}}
      - {{series: 'ray_xner_shards_waiting{{run="idle"}}', values: '5x40'}}
      - {{series: 'ray_xner_forward_seconds_total{{run="busy", device="gpu", stage="label"}}', values: '0+48x40'}}
      - {{series: 'ray_xner_model_actors{{run="busy", device="gpu"}}', values: '1x40'}}
      - {{series: 'ray_xner_shards_waiting{{run="busy"}}', values: '5x40'}}
      - {{series: 'ray_xner_forward_seconds_total{{run="cpu", device="cpu", stage="label"}}', values: '0+1x40'}}
      - {{series: 'ray_xner_model_actors{{run="cpu", device="cpu"}}', values: '1x40'}}
      - {{series: 'ray_xner_shards_waiting{{run="cpu"}}', values: '5x40'}}
      - {{series: 'ray_xner_forward_seconds_total{{run="over", device="gpu", stage="label"}}', values: '0x40'}}
      - {{series: 'ray_xner_model_actors{{run="over", device="gpu"}}', values: '1x40'}}
      - {{series: 'ray_xner_shards_waiting{{run="over"}}', values: '0x40'}}
    alert_rule_test:
      - {{eval_time: 10m, alertname: XnerGpuIdle}}
      - eval_time: 20m
        alertname: XnerGpuIdle
        exp_alerts:
          - exp_labels: {{run: idle, severity: warning}}
            exp_annotations:
              summary: "idle: GPUs are busy for 5% of the time while shards wait"
              description: {gpu_idle}
"""


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed (Debian: package prometheus)")
def test_alerts_fire_exactly_when_their_condition_holds(tmp_path: Path):
    import yaml

    descriptions = {
        rule["alert"]: json.dumps(rule["annotations"]["description"])
        for rule in yaml.safe_load(RULES.read_text())["groups"][0]["rules"]
    }
    case = tmp_path / "alerts.yaml"
    case.write_text(
        ALERTS.format(
            rules=RULES,
            no_progress=descriptions["XnerNoProgress"],
            quarantine=descriptions["XnerQuarantineHigh"],
            gpu_idle=descriptions["XnerGpuIdle"],
        )
    )
    config = str(RULES.with_name("prometheus.yaml"))
    for command in (["check", "config", config], ["test", "rules", str(case)]):
        done = subprocess.run(["promtool", *command], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
