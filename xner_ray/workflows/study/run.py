"""Runs a study: the labels once, a source model for each seed, then a task for each cell without a result.

What cells share is identified by fingerprints: the labels and filtered pairs of the run, a source model by (encoder, training,
types, seed), a training file by its sampling settings. The result of a cell is in out/study/cells. Its name depends on the inputs
of the cell and not on the study, so a setting that occurs in all four studies is trained once.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from xner_ray.config import Config
from xner_ray.errors import UserError
from xner_ray.observability.log_follower import follow_log
from xner_ray.pipeline.context import Context
from xner_ray.pipeline.pipeline import build_pipeline
from xner_ray.pipeline.runner import Runner, complete
from xner_ray.pipeline.stages.dataset import Dataset, SampleSentences
from xner_ray.pipeline.stages.source_models import ModelSpec, TrainSourceModels, zero_shot_specs
from xner_ray.storage.fingerprint import canonical_json, hash_file
from xner_ray.storage.lock import hold_output
from xner_ray.storage.stage_dir import StageDir
from xner_ray.training.resource_split import cpus_per_worker
from xner_ray.workflows.study.grid import GRIDS, SOURCE_ONLY, Cell, cells, kept_sentences, with_changes
from xner_ray.workflows.study.study_task import CELL, StudyTask, train_cell, train_source_models
from xner_ray.workflows.study.table import cell_rows, table_of, write_table

CELL_VERSION = 1  # of the content of a cell's file; after an increase the files are written again from the kept models


@dataclass(frozen=True)
class PlannedCell:
    """A cell and its inputs.

    Attributes:
        cell: the cell.
        config: the config of the run with the changes of the cell.
        data: the training data; None for zero-transfer.
        source: the source model that the cell starts from, or is compared with.
        source_folder: the folder of that model, relative to the output directory.
        dir: the directory of the result.
    """

    cell: Cell
    config: Config
    data: Dataset | None
    source: ModelSpec
    source_folder: str
    dir: StageDir


def run_study(
    name: str,
    config: Config,
    config_file: str | Path = "",
    log: Callable[[str], None] | None = None,
    wait: bool = False,
) -> tuple[pa.Table, Path]:
    """Train and score the cells of a study that have no result, and write the table of the study.

    Args:
        name: one of `grid.GRIDS`.
        config: the checked config, with the study's `override`.
        config_file: for messages.
        log: called with progress lines; default: standard output.
        wait: wait for another run that holds the output directory, instead of an error.

    Returns:
        the table, and its Parquet file: out/study/NAME.parquet.

    Raises:
        UserError: the input is wrong, or there is no sentence to train on.
        Exception: the exception of the first cell that failed. It is raised after all other cells were tried.
    """
    if name not in GRIDS:
        raise UserError(f"unknown study `{name}`", remedy=f"one of {', '.join(GRIDS)}")
    ctx = Context.open(config, config_file, log)
    _check_gold(ctx, name)
    with hold_output(ctx.out, ctx.log, wait):
        runner = Runner(ctx, build_pipeline(ctx.config))
        filtered = runner.result("filter")
        grid = cells(name, ctx.config, kept_sentences(filtered.ledger.to_rows()))
        files: dict[str, Dataset] = {}
        planned = [_plan_cell(ctx, cell, filtered, files) for cell in grid]
        todo = list({p.dir.path: p for p in planned if not p.dir.is_complete()}.values())
        ctx.log(f"[study] {name}: {len(planned)} cells, {len(planned) - len(todo)} of them done")
        if todo:
            _train(ctx, name, todo)
        results = [json.loads((p.dir.path / CELL).read_text()) for p in planned]
        rows = [row for p, r in zip(planned, results, strict=True) for row in cell_rows(name, p.cell, p.config, r)]
        table = table_of(rows)
        return table, write_table(table, ctx.out / "study" / f"{name}.parquet")


def _check_gold(ctx: Context, name: str) -> None:
    languages = getattr(ctx.config.study, name).languages or ctx.config.languages
    for language in languages:
        if not any(gold.language == language for gold in ctx.config.evaluation):
            problem, remedy = f"no gold for `{language}`", "add a set of it, or leave it out with --languages"
            raise UserError(problem, file=ctx.config_file, key="evaluation", remedy=remedy)


def _plan_cell(ctx: Context, cell: Cell, filtered: Any, files: dict[str, Dataset]) -> PlannedCell:
    """The inputs of a cell. It writes the training file, unless `files` has it; it trains no model."""
    cell_ctx = ctx.with_config(with_changes(ctx.config, cell.changes))
    student, data = cell_ctx.config.student, None
    if student.schedule != "source_only":
        key = canonical_json([cell.language, cell_ctx.config.dataset.model_dump()])
        if key not in files:
            files[key] = complete(cell_ctx, SampleSentences([cell.language]), {"filter": filtered})
        data = files[key]
    (spec,) = zero_shot_specs(cell_ctx.config, [cell.language])
    (source,) = TrainSourceModels([spec]).directories(cell_ctx, {})
    folder = str(source.path.relative_to(cell_ctx.out))
    gold = [g for g in cell_ctx.config.evaluation if g.language == cell.language]
    # The fingerprint of the source model's training is in the name of its folder.
    settings = student.model_dump(exclude_none=True, exclude={"source_training", "source_model_per_seed", "seeds"})
    parts = {
        "version": CELL_VERSION,
        "student": settings if data else {"schedule": student.schedule},
        "source": folder,
        "data": hash_file(data.train[cell.language]) if data else None,
        "language": cell.language,
        "seed": cell.seed,
        "gold": [{"name": g.name, **parts} for g, parts in zip(gold, cell_ctx.gold_parts(gold), strict=True)],
    }
    return PlannedCell(cell, cell_ctx.config, data, spec, folder, StageDir.of(cell_ctx.out, "study/cells", parts))


def _train(ctx: Context, name: str, todo: list[PlannedCell]) -> None:
    """Submit a task for each source model, and one for each cell, which waits for its source model only."""
    ctx.executor.connect()
    nodes = ctx.executor.nodes()
    resources, threads = student_resources(ctx.config, nodes)
    log_file = ctx.out / "study" / f"{name}.log"
    log_file.parent.mkdir(exist_ok=True)
    log_file.write_text("")
    shared: dict[str, list[PlannedCell]] = {}
    for planned in todo:
        shared.setdefault(planned.source_folder, []).append(planned)
    ctx.log(f"[study] {len(shared)} source models, {len(todo)} students; each takes {_in_words(resources)}")
    waiting = {}
    for group in shared.values():
        config, languages = with_changes(group[0].config, SOURCE_ONLY), sorted({p.cell.language for p in group})
        title = f"{group[0].source.name} for {', '.join(languages)}"
        before = ctx.executor.submit(train_source_models, resources, config, languages, title, str(log_file), threads)
        waiting[before] = title
        for p in group:
            task = StudyTask(p.cell, p.config, p.data, p.dir, str(log_file), threads)
            waiting[ctx.executor.submit(train_cell, resources, task, before)] = p.cell.name
    with follow_log(log_file, ctx.log):
        _wait(ctx, waiting)


def _wait(ctx: Context, waiting: dict[Any, str]) -> None:
    """Wait for all tasks, even if some fail. Then raise the error of the first one that failed."""
    total, failed = len(waiting), []
    for done, (title, error) in enumerate(ctx.executor.finished(waiting), 1):
        if error is None:
            ctx.log(f"[study] {done}/{total} {title}: done")
        else:
            failed.append(error)
            ctx.log(f"[study] {done}/{total} {title}: failed, {str(error).strip().splitlines()[-1]}")
    if failed:
        ctx.log(f"[study] {len(failed)} of {total} failed; the others are kept, and the same command continues")
        raise failed[0]


def student_resources(config: Config, nodes: Sequence[Mapping[str, float]]) -> tuple[dict[str, float], int]:
    """The Ray resources and the threads of a task: a share of a GPU if there is one, else the CPUs of a node.

    Args:
        config: the config of the study.
        nodes: the resources of each node.
    """
    if config.ray.max_gpus or any(node.get("GPU", 0) >= 1 for node in nodes):
        return {"num_gpus": config.study.num_gpus_per_student, "num_cpus": 1}, 1
    cpus = config.study.num_cpus_per_student or cpus_per_worker(nodes, 1)
    return {"num_cpus": cpus}, cpus


def _in_words(resources: Mapping[str, float]) -> str:
    return " and ".join(f"{n:g} {name.removeprefix('num_').upper()[:3]}" for name, n in resources.items())
