"""Cells as their tasks run them, in this process, on random weights: every schedule, what is shared, what is resumed."""

import json
from pathlib import Path

import pyarrow as pa
import pytest

from tests.harness.study_tables import tiny
from xner_ray import schema
from xner_ray.config import RulesConfig
from xner_ray.errors import UserError
from xner_ray.pipeline.pipeline import sample
from xner_ray.pipeline.stages.dataset import Judged
from xner_ray.projection.filters import judge
from xner_ray.projection.ledger import Ledger
from xner_ray.storage.shard_store import ShardStore
from xner_ray.storage.stage_dir import open_stage
from xner_ray.workflows.study.grid import ALL, SOURCE_ONLY, ZERO, cells, changed, stock
from xner_ray.workflows.study.run import _planned, _train
from xner_ray.workflows.study.study_task import LaneRun, Order, train_cell, train_english
from xner_ray.workflows.study.table import row_values, table_of


def pairs() -> pa.Table:
    """Aligned rows of two corpora: 30 with a place, 10 with nothing."""
    rows = []
    for i in range(40):
        text, full = f"In Bonn sind {i} Leute.", i % 8 > 1
        entities = [{"start": 3, "end": 7, "type": "LOC", "score": 0.9}] if full else []
        spans = [{"entity": 0, "start": 3, "end": 7, "score": 0.9}] if full else []
        row = dict.fromkeys(schema.ALIGNED.names) | {"corpus": ("SampleNews", "SampleTalks")[i % 2], "language": "de"}
        row |= {"domain": ("news", "talks")[i % 2], "pair_id": i, "source": text, "target": text}
        rows.append(row | {"entities": entities, "projections": spans})
    return pa.Table.from_pylist(rows, schema=schema.ALIGNED)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run whose pairs are judged, but for which nothing was labeled or trained."""
    out = tmp_path_factory.mktemp("study") / "out"
    lines: list[str] = []
    made = LaneRun(
        tiny(f"out={out}", "languages=[de]", "study.ablation.seeds=[1, 2]", "teacher.training.epochs=2"),
        lines.append,
        1,
    )
    sample(made)
    folder, table = open_stage(made.out, "judged", {"made": 1}), judge(pairs(), RulesConfig())
    ledger = Ledger()
    ledger.add(table)
    store = ShardStore(folder.path)
    store.commit("de-0", table, "hash", {"ledger": ledger.to_rows()})
    made.results["judged"] = Judged(folder, store.committed(), store.committed(), ledger)
    return made


@pytest.fixture(scope="module")
def done(run, tmp_path_factory):
    """Every cell of an ablation: (planned, the content of its file)."""
    log_file = str(tmp_path_factory.mktemp("log") / "log")
    grid = cells("ablation", run.config, stock(run.results["judged"].ledger.to_rows()))
    files: dict = {}
    planned = [_planned(run, cell, files) for cell in grid]
    for p in {p.english_folder: p for p in planned}.values():
        train_english(changed(p.config, SOURCE_ONLY), ["de"], p.english.name, log_file, 1)
    for p in planned:
        train_cell(Order(p.cell, p.config, p.data, str(p.file), p.parts, log_file, 1))
    return [(p, json.loads(p.file.read_text())) for p in planned]


def trained(told: dict) -> dict:
    return json.loads((Path(told["student"]) / "training.json").read_text())


def test_schedules_see_what_they_say(done):
    for seed in (1, 2):
        tokens, starts, ends = {}, {}, {}
        for p, told in done:
            if p.cell.seed == seed:
                one = trained(told)
                tokens[p.cell.setting], starts[p.cell.setting] = one["tokens"], one["job"]["start"]
                ends[p.cell.setting] = one["job"]["out"]
        target, english = tokens["sequential, reweighted"], tokens[ZERO]
        assert tokens["no English, reweighted"] == tokens["sequential, cross entropy"] == target
        assert tokens["mixed, reweighted"] == tokens["mixed, cross entropy"] == english + target
        assert starts["sequential, reweighted"] == starts["sequential, cross entropy"] == ends[ZERO]
        bare = starts[ZERO]
        assert starts["mixed, reweighted"] == starts["no English, reweighted"] == bare != ends[ZERO]
        assert len(set(ends.values())) == 6


def test_each_seed_has_its_own_english(done):
    zero = {p.cell.seed: told["student"] for p, told in done if p.cell.setting == ZERO}
    assert len(set(zero.values())) == 2 and "seed-2" in zero[2] and "seed" not in zero[1]


def test_files_hold_scores_and_counts(done):
    for p, told in done:
        assert set(told["sets"]) == {"german"} and told["sets"]["german"]["sentences"] == 20
        if p.cell.setting == ZERO:
            assert told["data"] is None
        else:
            assert told["data"] == {"sentences": 38, "without_entity": 8, "entities": {"LOC": 30}}
    table = table_of(row for p, told in done for row in row_values("ablation", p.cell, p.config, told))
    rows = [r for r in table.to_pylist() if r["type"] == ALL]
    assert len(rows) == 12 and {r["eval_set"] for r in rows} == {"german"}


def test_what_is_done_is_found_again(run, done, tmp_path):
    models = {f: f.stat().st_mtime_ns for f in run.out.rglob("model/*.safetensors")}
    scores = {f: f.stat().st_mtime_ns for f in (run.out / "scores").iterdir()}
    p, told = next((p, told) for p, told in done if p.cell.setting == "mixed, reweighted")
    assert _planned(run, p.cell, {}).file == p.file
    p.file.unlink()
    train_cell(Order(p.cell, p.config, p.data, str(p.file), p.parts, str(tmp_path / "log"), 1))
    again = json.loads(p.file.read_text())
    assert {k: again[k] for k in again if k != "seconds"} == {k: told[k] for k in told if k != "seconds"}
    assert {f: f.stat().st_mtime_ns for f in models} == models
    assert {f: f.stat().st_mtime_ns for f in (run.out / "scores").iterdir()} == scores


def test_one_recipe_is_one_cell_in_all_studies(run, done):
    usual = run.config.student.training
    config = run.config.model_copy(deep=True)
    config.study.loss.frozen, config.study.loss.gammas = [usual.num_frozen_layers], [usual.gamma]
    grid = cells("loss", config, stock(run.results["judged"].ledger.to_rows()))
    files = {_planned(run, cell, {}).file for cell in grid}
    assert files == {
        p.file for p, _ in done if p.cell.setting in (ZERO, "sequential, reweighted") and p.cell.seed == 1
    }


def test_domains_choose_corpora(run):
    grid = cells("domain", run.config, stock(run.results["judged"].ledger.to_rows()))
    data = {c.setting: _planned(run, c, {}).data for c in grid if c.seed == 1}
    counts = {name: d.summary["de"] for name, d in data.items() if d}
    assert set(counts) == {"news", "talks", ALL}
    assert set(counts["news"]["domains"]) == {"news"} and set(counts[ALL]["domains"]) == {"news", "talks"}
    assert len({c["sentences"] for c in counts.values()}) == 1


def test_tasks_of_a_cluster(run, ray_session):
    """One English model, then the cells that wait for it; one that cannot be trained takes no other along."""
    config = run.config.model_copy(deep=True)
    config.study.loss.seeds, config.study.loss.gammas, config.study.loss.frozen = [3], [0.0], [0, 9]
    lines: list[str] = []
    own = run.varied(config)
    own.log = lines.append
    planned = [
        _planned(own, cell, {}) for cell in cells("loss", config, stock(run.results["judged"].ledger.to_rows()))
    ]
    with pytest.raises(UserError, match="the encoder has 2 layers"):
        _train(own, "loss", planned)
    assert [p.file.exists() for p in planned] == [True, True, False]
    assert any("1 English models, 3 students; each takes 2 CPU" in line for line in lines)
    assert any("gamma 0, 9 frozen" in line and "failed" in line for line in lines)
    assert any("[english-seed-3 for de] [english-seed-3]" in line for line in lines), "workers' lines are read out"


def test_a_task_does_not_label(run):
    with pytest.raises(RuntimeError, match="before the study's tasks began"):
        run.ray()
