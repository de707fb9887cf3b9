"""The tasks of cells, run in this process on random weights: all schedules, shared models, and repeated tasks."""

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
from xner_ray.projection.filters import assign_verdicts
from xner_ray.projection.ledger import Ledger
from xner_ray.storage.shard_store import ShardStore
from xner_ray.storage.stage_dir import StageDir
from xner_ray.workflows.study.grid import ALL, SOURCE_ONLY, ZERO_TRANSFER, Cell, cells, kept_sentences, with_changes
from xner_ray.workflows.study.run import _plan_cell, _train
from xner_ray.workflows.study.study_task import CELL, StudyTask, train_cell, train_source_models
from xner_ray.workflows.study.table import cell_rows, table_of


def pairs() -> pa.Table:
    """Aligned rows of two corpora: 30 with an entity, 10 without."""
    rows = []
    for i in range(40):
        text, has_entity = f"In Bonn sind {i} Leute.", i % 8 > 1
        entities = [{"start": 3, "end": 7, "type": "LOC", "score": 0.9}] if has_entity else []
        spans = [{"entity": 0, "start": 3, "end": 7, "score": 0.9}] if has_entity else []
        row = dict.fromkeys(schema.ALIGNED.names) | {"corpus": ("SampleNews", "SampleTalks")[i % 2], "language": "de"}
        row |= {"domain": ("news", "talks")[i % 2], "pair_id": i, "source": text, "target": text}
        rows.append(row | {"entities": entities, "projections": spans})
    return pa.Table.from_pylist(rows, schema=schema.ALIGNED)


@pytest.fixture(scope="module")
def ctx(tmp_path_factory) -> Context:
    out = tmp_path_factory.mktemp("study") / "out"
    config = tiny(f"out={out}", "languages=[de]", "study.ablation.seeds=[1, 2]", "teacher.training.epochs=2")
    ctx = Context.open(config, log=lambda line: None, executor=InProcess())
    complete(ctx, Sample(), {})
    return ctx


@pytest.fixture(scope="module")
def filtered(ctx) -> Filtered:
    """Filtered pairs of a run without labeling and training."""
    folder, table = StageDir.of(ctx.out, "filter", {"made": 1}).create(), assign_verdicts(pairs(), RulesConfig())
    ledger = Ledger()
    ledger.count_verdicts(table)
    store = ShardStore(folder.path)
    store.commit("de-0", table, "hash", {"ledger": ledger.to_rows()})
    committed = store.committed()
    return Filtered(folder.path, committed, {name: m.sha256 for name, m in committed.items()}, ledger)


def grid(ctx, filtered, name: str) -> list[Cell]:
    return cells(name, ctx.config, kept_sentences(filtered.ledger.to_rows()))


@pytest.fixture(scope="module")
def done(ctx, filtered, tmp_path_factory):
    """All cells of an ablation: (planned cell, its result)."""
    log_file = str(tmp_path_factory.mktemp("log") / "log")
    files: dict = {}
    planned = [_plan_cell(ctx, cell, filtered, files) for cell in grid(ctx, filtered, "ablation")]
    for p in {p.source_folder: p for p in planned}.values():
        train_source_models(with_changes(p.config, SOURCE_ONLY), ["de"], p.source.name, log_file, 1)
    for p in planned:
        train_cell(StudyTask(p.cell, p.config, p.data, p.dir, log_file, 1))
    return [(p, result(p)) for p in planned]


def result(planned) -> dict:
    return json.loads((planned.dir.path / CELL).read_text())


def training_of(result: dict) -> dict:
    return json.loads((Path(result["student"]) / "training.json").read_text())


def test_schedules_have_their_data_and_start_model(done):
    for seed in (1, 2):
        tokens, starts, ends = {}, {}, {}
        for p, cell_result in done:
            if p.cell.seed == seed:
                training = training_of(cell_result)
                tokens[p.cell.setting], starts[p.cell.setting] = training["tokens"], training["job"]["start"]
                ends[p.cell.setting] = training["job"]["out"]
        target, source = tokens["sequential, reweighted"], tokens[ZERO_TRANSFER]
        assert tokens["no English, reweighted"] == tokens["sequential, cross entropy"] == target
        assert tokens["mixed, reweighted"] == tokens["mixed, cross entropy"] == source + target
        assert starts["sequential, reweighted"] == starts["sequential, cross entropy"] == ends[ZERO_TRANSFER]
        encoder = starts[ZERO_TRANSFER]
        assert starts["mixed, reweighted"] == starts["no English, reweighted"] == encoder != ends[ZERO_TRANSFER]
        assert len(set(ends.values())) == 6


def test_each_seed_has_its_own_source_model(done):
    students = {p.cell.seed: r["student"] for p, r in done if p.cell.setting == ZERO_TRANSFER}
    assert len(set(students.values())) == 2 and "seed-2" in students[2] and "seed" not in students[1]


def test_results_have_scores_and_counts(done):
    for p, cell_result in done:
        assert set(cell_result["sets"]) == {"german"} and cell_result["sets"]["german"]["sentences"] == 20
        if p.cell.setting == ZERO_TRANSFER:
            assert cell_result["data"] is None
        else:
            assert cell_result["data"] == {"sentences": 38, "without_entity": 8, "entities": {"LOC": 30}}
    table = table_of(row for p, r in done for row in cell_rows("ablation", p.cell, p.config, r))
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


def test_setting_is_the_same_cell_in_all_studies(ctx, filtered, done):
    training = ctx.config.student.training
    config = ctx.config.model_copy(deep=True)
    config.study.loss.frozen, config.study.loss.gammas = [training.num_frozen_layers], [training.gamma]
    study_ctx = ctx.with_config(config)
    dirs = {_plan_cell(study_ctx, cell, filtered, {}).dir.path for cell in grid(study_ctx, filtered, "loss")}
    shared = (ZERO_TRANSFER, "sequential, reweighted")
    assert dirs == {p.dir.path for p, _ in done if p.cell.setting in shared and p.cell.seed == 1}


def test_domains_have_the_sentences_of_their_corpora(ctx, filtered):
    data = {c.setting: _plan_cell(ctx, c, filtered, {}).data for c in grid(ctx, filtered, "domain") if c.seed == 1}
    counts = {name: d.summary["de"] for name, d in data.items() if d}
    assert set(counts) == {"news", "talks", ALL}
    assert set(counts["news"]["domains"]) == {"news"} and set(counts[ALL]["domains"]) == {"news", "talks"}
    assert len({c["sentences"] for c in counts.values()}) == 1


def test_failed_cell_does_not_stop_the_others(ctx, filtered, ray_session):
    """A cluster runs one source model, then three cells that wait for it. One cell cannot be trained."""
    config = ctx.config.model_copy(deep=True)
    config.study.loss.seeds, config.study.loss.gammas, config.study.loss.frozen = [3], [0.0], [0, 9]
    lines: list[str] = []
    study_ctx = replace(
        ctx.with_config(config), log=lines.append, executor=RayExecutor(config.ray, ctx.out, lines.append)
    )
    planned = [_plan_cell(study_ctx, cell, filtered, {}) for cell in grid(study_ctx, filtered, "loss")]
    with pytest.raises(UserError, match="the encoder has 2 layers"):
        _train(study_ctx, "loss", planned)
    assert [p.dir.is_complete() for p in planned] == [True, True, False]
    assert any("1 source models, 3 students; each takes 2 CPU" in line for line in lines)
    assert any("gamma 0, 9 frozen" in line and "failed" in line for line in lines)
    assert any("[source-seed-3 for de] [source-seed-3]" in line for line in lines), "the lines of workers are printed"


def test_executor_of_a_task_has_no_ray():
    with pytest.raises(RuntimeError, match="label the corpus before"):
        InProcess().connect()
