"""Cells as their tasks run them, in this process, on random weights: every schedule, what is shared, what is resumed."""

import json
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from tests.harness.study_tables import tiny
from xner_ray import schema
from xner_ray.config import RulesConfig
from xner_ray.errors import UserError
from xner_ray.pipeline.context import Context
from xner_ray.pipeline.executors import InProcess, RayExecutor
from xner_ray.pipeline.runner import complete
from xner_ray.pipeline.stages.filter import Filtered
from xner_ray.pipeline.stages.sample import Sample
from xner_ray.projection.filters import judge
from xner_ray.projection.ledger import Ledger
from xner_ray.storage.shard_store import ShardStore
from xner_ray.storage.stage_dir import StageDir
from xner_ray.workflows.study.grid import ALL, SOURCE_ONLY, ZERO, Cell, cells, changed, stock
from xner_ray.workflows.study.run import _plan_cell, _train
from xner_ray.workflows.study.study_task import CELL, StudyTask, train_cell, train_source_models
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
def ctx(tmp_path_factory) -> Context:
    out = tmp_path_factory.mktemp("study") / "out"
    config = tiny(f"out={out}", "languages=[de]", "study.ablation.seeds=[1, 2]", "teacher.training.epochs=2")
    made = Context.open(config, log=lambda line: None, executor=InProcess())
    complete(made, Sample(), {})
    return made


@pytest.fixture(scope="module")
def filtered(ctx) -> Filtered:
    """Pairs with verdicts, although nothing was labeled or trained."""
    folder, table = StageDir.of(ctx.out, "filter", {"made": 1}).create(), judge(pairs(), RulesConfig())
    ledger = Ledger()
    ledger.add(table)
    store = ShardStore(folder.path)
    store.commit("de-0", table, "hash", {"ledger": ledger.to_rows()})
    committed = store.committed()
    return Filtered(folder.path, committed, {name: m.sha256 for name, m in committed.items()}, ledger)


def grid(ctx, filtered, name: str) -> list[Cell]:
    return cells(name, ctx.config, stock(filtered.ledger.to_rows()))


@pytest.fixture(scope="module")
def done(ctx, filtered, tmp_path_factory):
    """Every cell of an ablation: (planned, the content of its file)."""
    log_file = str(tmp_path_factory.mktemp("log") / "log")
    files: dict = {}
    planned = [_plan_cell(ctx, cell, filtered, files) for cell in grid(ctx, filtered, "ablation")]
    for p in {p.source_folder: p for p in planned}.values():
        train_source_models(changed(p.config, SOURCE_ONLY), ["de"], p.source.name, log_file, 1)
    for p in planned:
        train_cell(StudyTask(p.cell, p.config, p.data, p.dir, log_file, 1))
    return [(p, result(p)) for p in planned]


def result(planned) -> dict:
    return json.loads((planned.dir.path / CELL).read_text())


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


def test_each_seed_has_its_own_source_model(done):
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


def test_complete_models_and_scores_are_not_made_again(ctx, filtered, done, tmp_path):
    models = {f: f.stat().st_mtime_ns for f in ctx.out.rglob("model/*.safetensors")}
    scores = {f: f.stat().st_mtime_ns for f in ctx.out.glob("scores/*/scores.json")}
    assert models and scores
    p, before = next((p, r) for p, r in done if p.cell.setting == "mixed, reweighted")
    assert _plan_cell(ctx, p.cell, filtered, {}).dir.path == p.dir.path
    (p.dir.path / CELL).unlink()
    assert not p.dir.is_complete()
    train_cell(StudyTask(p.cell, p.config, p.data, p.dir, str(tmp_path / "log"), 1))
    again = result(p)
    assert {k: again[k] for k in again if k != "seconds"} == {k: before[k] for k in before if k != "seconds"}
    assert {f: f.stat().st_mtime_ns for f in models} == models
    assert {f: f.stat().st_mtime_ns for f in scores} == scores


def test_a_setting_is_the_same_cell_in_all_studies(ctx, filtered, done):
    training = ctx.config.student.training
    config = ctx.config.model_copy(deep=True)
    config.study.loss.frozen, config.study.loss.gammas = [training.num_frozen_layers], [training.gamma]
    own = ctx.with_config(config)
    found = {_plan_cell(own, cell, filtered, {}).dir.path for cell in grid(own, filtered, "loss")}
    usual = (ZERO, "sequential, reweighted")
    assert found == {p.dir.path for p, _ in done if p.cell.setting in usual and p.cell.seed == 1}


def test_domains_choose_corpora(ctx, filtered):
    data = {c.setting: _plan_cell(ctx, c, filtered, {}).data for c in grid(ctx, filtered, "domain") if c.seed == 1}
    counts = {name: d.summary["de"] for name, d in data.items() if d}
    assert set(counts) == {"news", "talks", ALL}
    assert set(counts["news"]["domains"]) == {"news"} and set(counts[ALL]["domains"]) == {"news", "talks"}
    assert len({c["sentences"] for c in counts.values()}) == 1


def test_tasks_of_a_cluster(ctx, filtered, ray_session):
    """One source model, then the cells that wait for it; a cell that cannot be trained does not stop the others."""
    config = ctx.config.model_copy(deep=True)
    config.study.loss.seeds, config.study.loss.gammas, config.study.loss.frozen = [3], [0.0], [0, 9]
    lines: list[str] = []
    own = replace(ctx.with_config(config), log=lines.append, executor=RayExecutor(config.ray, ctx.out, lines.append))
    planned = [_plan_cell(own, cell, filtered, {}) for cell in grid(own, filtered, "loss")]
    with pytest.raises(UserError, match="the encoder has 2 layers"):
        _train(own, "loss", planned)
    assert [p.dir.is_complete() for p in planned] == [True, True, False]
    assert any("1 source models, 3 students; each takes 2 CPU" in line for line in lines)
    assert any("gamma 0, 9 frozen" in line and "failed" in line for line in lines)
    assert any("[source-seed-3 for de] [source-seed-3]" in line for line in lines), "the lines of workers are printed"


def test_a_task_has_no_ray():
    with pytest.raises(RuntimeError, match="label the corpus before"):
        InProcess().connect()
