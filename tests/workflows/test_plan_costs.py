"""`xner plan`: hours of CPU or GPU, disk and cost, from measured speeds."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from xner_ray.cli.main import app
from xner_ray.config.load import load_config
from xner_ray.pipeline.runner import StagePlan
from xner_ray.storage.output_dir import RUN
from xner_ray.workflows.plan_costs import COMMITTED_RATES, plan_costs
from xner_ray.workflows.run_record import LAST_RUN, MEASURED, recorded_run

RESULTS = Path(__file__).parents[2] / "bench" / "results"
STAGES = [StagePlan(name, "") for name in ("ingest", "teacher", "aligner", "label", "filter", "student")]


@pytest.fixture(autouse=True)
def no_cluster(monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


def demo(tmp_path, *overrides: str):
    return load_config("configs/demo.yaml", [f"out={tmp_path / 'out'}", *overrides])


def costs(config, stages=STAGES, **prices):
    plan = plan_costs(config, stages, **prices)
    return plan, {cost.stage: cost for cost in plan.stages}


def test_hours_of_cpus_and_their_price(tmp_path):
    plan, by_stage = costs(demo(tmp_path), cpu_price=2.0)
    assert list(by_stage) == [plan.stage for plan in STAGES] and plan.problem is None
    assert all(cost.unit == "CPU core" and cost.hours > 0 and cost.source for cost in by_stage.values())
    assert "bench/results/ingest.json" in by_stage["ingest"].source and "Xeon" in by_stage["ingest"].source
    assert "GFLOP/s" in by_stage["label"].source and any("EPYC" in note for note in plan.notes)
    assert plan.price == pytest.approx(2 * sum(cost.hours for cost in by_stage.values()))
    assert plan.disk_bytes > 0 and plan.free_bytes > 0
    without, _ = costs(demo(tmp_path))
    assert without.price is None and any("--cpu-price" in note for note in without.notes)


def test_hours_of_a_gpu_are_not_guessed(tmp_path):
    plan, by_stage = costs(demo(tmp_path, "ray.max_gpus=2"), cpu_price=1.0, gpu_price=1.0)
    assert by_stage["label"].hours is None and by_stage["student"].hours is None and plan.price is None
    assert "no rate of a GPU was measured" in by_stage["label"].source and by_stage["label"].unit == "GPU"
    rate = "{stage: label, pairs_per_second: 10, device: H100, model: embedded + embedded, source: mine}"
    _, by_stage = costs(demo(tmp_path, "ray.max_gpus=2", f"refresh.rates=[{rate}]"), gpu_price=3.0)
    assert by_stage["label"].hours == pytest.approx(2400 / 10 / 3600) and by_stage["label"].source == "mine"
    assert by_stage["label"].price == pytest.approx(3 * 2400 / 10 / 3600)


@pytest.mark.parametrize("variable", [True, False])
def test_hours_of_a_cluster_are_not_those_of_this_machine(tmp_path, monkeypatch, variable):
    if variable:
        monkeypatch.setenv("RAY_ADDRESS", "head:6379")
    address = [] if variable else ["ray.address=head:6379"]
    plan, by_stage = costs(demo(tmp_path, *address), cpu_price=1.0, gpu_price=1.0)
    for stage in ("teacher", "aligner", "label", "student"):
        assert by_stage[stage].hours is None and by_stage[stage].unit == "device", stage
    assert by_stage["ingest"].hours > 0 and by_stage["ingest"].unit == "CPU core"
    assert plan.price is None and "GFLOP/s" not in str(plan.stages) and "EPYC" not in str(plan.notes)
    rate = "{stage: label, pairs_per_second: 10, device: H100, model: embedded + embedded, source: mine}"
    label = costs(demo(tmp_path, *address, f"refresh.rates=[{rate}]"))[1]["label"]
    assert label.hours == pytest.approx(2400 / 10 / 3600) and (label.unit, label.source) == ("GPU", "mine")


def test_stages_without_models_take_no_gpu(tmp_path):
    config = demo(tmp_path, "ray.max_gpus=2", f"data={tmp_path}")
    ingest = config.ingest.model_copy(update={"max_pairs_per_language": None})
    _, by_stage = costs(config.model_copy(update={"sample": None, "ingest": ingest}))  # pairs are not known
    assert (by_stage["ingest"].hours, by_stage["ingest"].unit) == (None, "CPU core")


@pytest.mark.parametrize(
    ("resources", "max_gpus", "unit", "number"),
    [("2 CPUs", 0, "CPU core", 2), ("4 GPUs (H100), 64 CPUs", 4, "GPU", 4)],
)
def test_an_earlier_run_in_out_is_the_measurement(tmp_path, resources, max_gpus, unit, number):
    config = demo(tmp_path, f"ray.max_gpus={max_gpus}")
    out = Path(config.out)
    out.mkdir()
    run = {
        "resources": resources,
        "models": "embedded + embedded",
        "first_row": 1,
        "ended": "2026-11-30T01:02:03+00:00",
    }
    (out / RUN).write_text(json.dumps({"name": "demo", MEASURED: run}))
    rows = [{"stage": "label", "of": "x", "seconds": 60, "amount": {"pairs": pairs}} for pairs in (9999, 600)]
    rows.append({"stage": "ingest", "of": "x", "seconds": 60, "amount": {"pairs": 600}})
    (out / "work.jsonl").write_text(
        "".join(f"{json.dumps(row)}\n" for row in rows)
    )  # the first row is of another machine
    _, by_stage = costs(config)
    label = by_stage["label"]
    assert label.unit == unit and label.hours == pytest.approx(number * 2400 / 10 / 3600)
    assert str(out) in label.source and "2026-11-30" in label.source and resources in label.source
    assert (str(out) in by_stage["ingest"].source) == (unit == "CPU core")  # before bench/results
    other = config.model_copy(update={"teacher": config.teacher.model_copy(update={"encoder": "tiny"})})
    assert str(out) not in costs(other)[1]["label"].source  # measured with other models


def test_a_run_without_work_keeps_the_measurement(tmp_path, monkeypatch):
    from xner_ray.observability.work_log import log_work
    from xner_ray.storage.output_dir import claim_out
    from xner_ray.training.backends import nodes

    config = demo(tmp_path)
    out = Path(config.out)
    claim_out(config.out, config.name, "c.yaml")
    for resources in ("2 CPUs", "64 CPUs"):  # the second run finds all stages done
        monkeypatch.setattr(nodes, "describe_resources", lambda resources=resources: resources)
        monkeypatch.setitem(sys.modules, "ray", sys)
        with recorded_run(out, config, ["label"], print):
            if resources == "2 CPUs":
                with log_work(out, "label", "x", pairs=600):
                    time.sleep(0.02)
    assert json.loads((out / RUN).read_text())[MEASURED]["resources"] == "2 CPUs"
    assert "2 CPUs" in costs(config)[1]["label"].source


def test_a_record_of_an_older_version_is_no_measurement(tmp_path):
    config = demo(tmp_path)
    Path(config.out).mkdir()
    (Path(config.out) / RUN).write_text(json.dumps({"name": "demo", LAST_RUN: {"config": {}, "ended": "x"}}))
    assert "GFLOP/s" in costs(config)[1]["label"].source


def test_only_what_is_to_do_is_counted(tmp_path):
    _, whole = costs(demo(tmp_path))
    stages = [StagePlan("ingest", "", 1, 1), StagePlan("label", "", 0, 1), StagePlan("student", "", 3, 4)]
    _, part = costs(demo(tmp_path), stages)
    assert list(part) == ["label", "student"]
    assert part["student"].hours == pytest.approx(whole["student"].hours / 4, rel=0.5)


def test_a_stage_that_may_be_done_in_part_is_counted_with_a_note(tmp_path):
    plan, by_stage = costs(demo(tmp_path), [StagePlan("label", "", is_unknown=True)])
    assert by_stage["label"].hours > 0 and any(note.startswith("label: ") for note in plan.notes)


def test_hours_of_a_known_part_are_a_lower_bound_without_a_price(tmp_path):
    plan, by_stage = costs(demo(tmp_path, "aligner.encoder=no/such-model"), cpu_price=1.0)
    assert by_stage["label"].hours > 0 and by_stage["label"].source.startswith("at least")
    assert by_stage["label"].price is None and plan.price is None and by_stage["aligner"].hours is None


def test_committed_rates_are_those_of_bench_results():
    rates = {name: rate for name, rate, _ in COMMITTED_RATES}
    ingest = json.loads((RESULTS / "ingest.json").read_text())["moses"]
    assert rates["ingest"] == pytest.approx(ingest["pairs"] / ingest["cpu_seconds"], rel=0.01)
    scale = json.loads((RESULTS / "scale.json").read_text())
    run = scale["runs"][-1]
    assert rates["filter"] == pytest.approx(run["pairs"] / run["stages"]["dataset"] / scale["cpus"], rel=0.01)


def test_run_and_preflight_refuse_what_plan_warns_of(tmp_path):
    arguments = ["configs/demo.yaml", f"out={tmp_path / 'out'}", "ray.max_cpu_hours=0.0001", "ray.num_cpus=2"]
    for command in ("plan", "preflight", "run"):
        result = CliRunner().invoke(app, [command, *arguments])
        assert result.exit_code == (0 if command == "plan" else 2), result.output
        assert (
            "ray.max_cpu_hours=" in result.output + result.stderr
            and "hours on 2 CPUs" in result.output + result.stderr
        )
    assert not list((tmp_path / "out").glob("*"))
    result = CliRunner().invoke(app, ["plan", *arguments[:2], "--cpu-price", "1"])
    assert result.exit_code == 0 and "cost" in result.output and "GB are free" in result.output + result.stderr


def test_a_stage_without_models_is_not_refused(tmp_path):
    from xner_ray.workflows.plan import shares_to_do

    config = demo(tmp_path)
    assert set(shares_to_do(config, "x.yaml", ["ingest"])) <= {"sample", "ingest"}
    assert {"label", "aligner", "teacher"} <= set(shares_to_do(config, "x.yaml", ["dataset"]))
    assert "student" in shares_to_do(config, "x.yaml")
