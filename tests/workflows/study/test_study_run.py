"""Parts of a study without Ray: resources of a task, counts of training data, joined training sets, wrong arguments, grids."""

import threading

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from tests.harness.study_tables import TINY, tiny
from xner_ray.cli.main import app
from xner_ray.encoders.ragged import Ragged
from xner_ray.errors import UserError
from xner_ray.storage.lock import hold_output
from xner_ray.storage.output_dir import claim_out
from xner_ray.training.data import TrainSet
from xner_ray.workflows.study.run import run_study, student_resources


def test_student_gets_a_share_of_a_gpu_or_the_cpus_of_a_node():
    assert student_resources(tiny(), [{"CPU": 2}, {"CPU": 8, "GPU": 1}]) == ({"num_gpus": 1.0, "num_cpus": 1}, 1)
    assert student_resources(tiny("study.num_gpus_per_student=0.25"), [{"GPU": 4, "CPU": 8}])[0]["num_gpus"] == 0.25
    assert student_resources(tiny(), [{"CPU": 2}, {"CPU": 8}]) == ({"num_cpus": 8}, 8)
    assert student_resources(tiny("study.num_cpus_per_student=2"), [{"CPU": 8}]) == ({"num_cpus": 2}, 2)


def test_counts_of_a_training_file(tmp_path):
    from xner_ray.workflows.study.study_task import training_counts

    tags = [["B-PER", "I-PER", "O", "B-LOC"], ["O", "O"], ["B-LOC", "B-LOC"], []]
    pq.write_table(pa.table({"ner_tags": pa.array(tags, pa.list_(pa.string()))}), tmp_path / "t.parquet")
    assert training_counts(tmp_path / "t.parquet") == {
        "sentences": 4,
        "without_entity": 2,
        "entities": {"LOC": 3, "PER": 1},
    }


def test_joined_sets_keep_rows_and_weights():
    first = TrainSet(Ragged.from_rows([[1, 2], [3]]), np.array([0, 1, -100], np.int32))
    second = TrainSet(Ragged.from_rows([[4]]), np.array([2], np.int32), weights=np.array([0.5], np.float32))
    both = TrainSet.joined([first, second, first])
    assert [list(both.ids[i]) for i in range(len(both.ids))] == [[1, 2], [3], [4], [1, 2], [3]]
    assert list(both.labels) == [0, 1, -100, 2, 0, 1, -100]
    assert both.weights is not None and list(both.weights) == [1, 1, 1, 0.5, 1, 1, 1]
    assert TrainSet.joined([first, first]).weights is None


def test_wrong_arguments_are_errors_before_any_stage_runs(tmp_path):
    out = f"out={tmp_path / 'out'}"
    with pytest.raises(UserError, match="`luck`"):
        run_study("luck", tiny(out))
    with pytest.raises(UserError, match="`zh`"):
        run_study("loss", tiny(out, "evaluation=[{language: de, path: x}]"), log=lambda _: None)
    result = CliRunner().invoke(app, ["study", "loss", "configs/tiny.yaml", out, "--gammas", "a,b"])
    assert result.exit_code == 2 and "`a,b`" in result.stderr
    assert not (tmp_path / "out" / "sample").exists()


@pytest.mark.parametrize("name", ["real", "paper"])
@pytest.mark.parametrize("kind", ["ablation", "size", "domain", "loss"])
def test_configs_have_grids(name, kind):
    from pathlib import Path

    from xner_ray.workflows.study.config import load_study_config
    from xner_ray.workflows.study.grid import ALL, ZERO_TRANSFER, cells, with_changes

    config = load_study_config(kind, Path(__file__).parents[3] / "configs" / f"{name}.yaml", ["data=/nowhere"])
    kept = {x: {c.name: (90_000, 90_000) for c in config.corpora_of(x)} for x in config.languages}
    all_cells = cells(kind, config, kept)
    assert all(with_changes(config, c.changes).student.seeds == [c.seed] for c in all_cells)
    settings = {c.setting for c in all_cells} - {ZERO_TRANSFER}
    seeds = 1 if kind == "loss" else 5 if name == "paper" else 3
    assert {c.seed for c in all_cells} == set(range(1, seeds + 1))
    if kind == "domain":
        assert settings == {"subtitles", "un", "news", ALL} if name == "paper" else {"news", "wiki", "talk", ALL}
        assert {c.changes["dataset.max_sentences"] for c in all_cells if c.setting != ZERO_TRANSFER} == {40_000}
    if kind == "size" and name == "paper":
        assert "200000" in settings and {c.seed for c in all_cells if c.setting == "200000"} == {1, 2, 3, 4, 5}
    if kind == "loss":
        assert len(settings) == 24


def test_a_study_waits_for_another_run_only_with_wait(tmp_path):
    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        with hold_output(tmp_path / "out", lambda line: None):
            held.set()
            release.wait(60)

    def ablation(*options: str):
        # The sample is replaced by a folder without files, so a study that has the lock stops at once.
        overrides = [f"out={tmp_path / 'out'}", "sample=null", f"data={tmp_path / 'none'}"]
        return CliRunner().invoke(app, ["study", "ablation", str(TINY), *overrides, *options])

    claim_out(tmp_path / "out", "tiny", TINY)
    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(30)
    try:
        stopped = ablation()
        assert stopped.exit_code == 2 and "is running" in stopped.stderr
        threading.Timer(1.0, release.set).start()
        waited = ablation("--wait")
    finally:
        release.set()
        holder.join()
    assert waited.exit_code == 2 and "is running" not in waited.stderr and str(tmp_path / "none") in waited.stderr
