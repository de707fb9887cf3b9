"""What a study asks of Ray and of the stages, without either: resources, counts of training data, joined sets, identities."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from tests.harness.study_tables import tiny
from xner_ray.cli.main import app
from xner_ray.encoders.ragged import Ragged
from xner_ray.errors import UserError
from xner_ray.training.data import TrainSet
from xner_ray.workflows.study.run import one_student, study


def test_a_student_takes_a_share_of_a_gpu_or_a_nodes_cpus():
    assert one_student(tiny(), [{"CPU": 2}, {"CPU": 8, "GPU": 1}]) == ({"num_gpus": 1.0, "num_cpus": 1}, 1)
    assert one_student(tiny("study.gpu_share=0.25"), [{"GPU": 4, "CPU": 8}])[0]["num_gpus"] == 0.25
    assert one_student(tiny(), [{"CPU": 2}, {"CPU": 8}]) == ({"num_cpus": 8}, 8)
    assert one_student(tiny("study.cpus=2"), [{"CPU": 8}]) == ({"num_cpus": 2}, 2)


def test_counts_of_a_training_file(tmp_path):
    from xner_ray.workflows.study.study_task import counts

    tags = [["B-PER", "I-PER", "O", "B-LOC"], ["O", "O"], ["B-LOC", "B-LOC"], []]
    pq.write_table(pa.table({"ner_tags": pa.array(tags, pa.list_(pa.string()))}), tmp_path / "t.parquet")
    told = counts(tmp_path / "t.parquet")
    assert told == {"sentences": 4, "without_entity": 2, "entities": {"LOC": 3, "PER": 1}}


def test_joined_sets_keep_rows_and_weights():
    one = TrainSet(Ragged.from_rows([[1, 2], [3]]), np.array([0, 1, -100], np.int32))
    two = TrainSet(Ragged.from_rows([[4]]), np.array([2], np.int32), weights=np.array([0.5], np.float32))
    both = TrainSet.joined([one, two, one])
    assert [list(both.ids[i]) for i in range(len(both.ids))] == [[1, 2], [3], [4], [1, 2], [3]]
    assert list(both.labels) == [0, 1, -100, 2, 0, 1, -100]
    assert both.weights is not None and list(both.weights) == [1, 1, 1, 0.5, 1, 1, 1]
    assert TrainSet.joined([one, one]).weights is None


def test_mistakes_are_told_before_anything_runs(tmp_path):
    out = f"out={tmp_path / 'out'}"
    with pytest.raises(UserError, match="is not a study"):
        study("luck", tiny(out))
    with pytest.raises(UserError, match="no gold for `zh`"):
        study("loss", tiny(out, "evaluation=[{language: de, path: x}]"), log=lambda _: None)
    result = CliRunner().invoke(app, ["study", "loss", "configs/tiny.yaml", out, "--gammas", "a,b"])
    assert result.exit_code == 2 and "`a,b`" in result.stderr
    assert not (tmp_path / "out" / "sample").exists()


@pytest.mark.parametrize("name", ["real", "paper"])
@pytest.mark.parametrize("kind", ["ablation", "size", "domain", "loss"])
def test_configs_have_grids(name, kind):
    from pathlib import Path

    from xner_ray.workflows.study.config import load_study_config
    from xner_ray.workflows.study.grid import ALL, ZERO, cells, changed

    config = load_study_config(kind, Path(__file__).parents[3] / "configs" / f"{name}.yaml", ["data=/nowhere"])
    there = {x: {c.name: (90_000, 90_000) for c in config.corpora_of(x)} for x in config.languages}
    found = cells(kind, config, there)
    assert all(changed(config, c.changes).student.seeds == [c.seed] for c in found)
    settings = {c.setting for c in found} - {ZERO}
    seeds = 1 if kind == "loss" else 3
    assert {c.seed for c in found} == set(range(1, seeds + 1))
    if kind == "domain":
        assert settings == {"subtitles", "un", "news", ALL} if name == "paper" else {"news", "wiki", "talk", ALL}
        assert {c.changes["dataset.max_sentences"] for c in found if c.setting != ZERO} == {40_000}
    if kind == "size" and name == "paper":
        assert "200000" in settings and {c.seed for c in found if c.setting == "200000"} == {1}
    if kind == "loss":
        assert len(settings) == 24
