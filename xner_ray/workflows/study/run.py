"""Running a study: labels once, source models once a seed, then a task for each cell that has no result yet.

Everything shared is found by its fingerprint: labels and filtered pairs belong to the run, a source model to (encoder, training,
types, seed), a training file to its sampling settings. The result of a cell lies in out/study/cells and is named by what it
depends on and not by its study, so a setting that occurs in all four studies is trained once.
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
from xner_ray.workflows.study.grid import GRIDS, SOURCE_ONLY, Cell, cells, changed, stock
from xner_ray.workflows.study.study_task import CELL, StudyTask, train_cell, train_source_models
from xner_ray.workflows.study.table import row_values, table_of, write_table

CELL_VERSION = 1  # of what a cell's file holds; raised, the files are made anew from models that are kept


@dataclass(frozen=True)
class PlannedCell:
    """A cell with what it needs.

    Attributes:
        cell: the cell.
        config: of the run, with the changes of the cell.
        data: its training data; None: it has none.
        source: the model that it starts from, or is compared with.
        source_folder: where that model lies, below the output directory.
        dir: where its result lies.
    """

    cell: Cell
    config: Config
    data: Dataset | None
    source: ModelSpec
    source_folder: str
    dir: StageDir


def study(
    name: str,
    config: Config,
    config_file: str | Path = "",
    log: Callable[[str], None] | None = None,
    wait: bool = False,
) -> tuple[pa.Table, Path]:
    """Train and score what is missing of a study, and write its table.

    Args:
        name: one of `grid.GRIDS`.
        config: the checked config, with the study's `override` in it.
        config_file: for messages.
        log: called with progress lines; default: standard output.
        wait: wait for another run that holds the output directory, instead of an error.

    Returns:
        the table, and its Parquet file: out/study/NAME.parquet.

    Raises:
        UserError: something in the input is wrong, or there is no sentence to train on.
        Exception: that of the first cell that failed, after all others were tried.
    """
    if name not in GRIDS:
        raise UserError(f"`{name}` is not a study", remedy=f"one of {', '.join(GRIDS)}")
    ctx = Context.open(config, config_file, log)
    _check_gold(ctx, name)
    with hold_output(ctx.out, ctx.log, wait):
        runner = Runner(ctx, build_pipeline(ctx.config))
        filtered = runner.result("filter")
        grid = cells(name, ctx.config, stock(filtered.ledger.to_rows()))
        files: dict[str, Dataset] = {}
        planned = [_plan_cell(ctx, cell, filtered, files) for cell in grid]
        todo = list({p.dir.path: p for p in planned if not p.dir.is_complete()}.values())
        ctx.log(f"[study] {name}: {len(planned)} cells, {len(planned) - len(todo)} of them done")
        if todo:
            _train(ctx, name, todo)
        results = [json.loads((p.dir.path / CELL).read_text()) for p in planned]
        rows = [row for p, r in zip(planned, results, strict=True) for row in row_values(name, p.cell, p.config, r)]
        table = table_of(rows)
        return table, write_table(table, ctx.out / "study" / f"{name}.parquet")


def _check_gold(ctx: Context, name: str) -> None:
    languages = getattr(ctx.config.study, name).languages or ctx.config.languages
    for language in languages:
        if not any(gold.language == language for gold in ctx.config.evaluation):
            problem, remedy = f"no gold for `{language}`", "add a set of it, or leave it out with --languages"
            raise UserError(problem, file=ctx.config_file, key="evaluation", remedy=remedy)


def _plan_cell(ctx: Context, cell: Cell, filtered: Any, files: dict[str, Dataset]) -> PlannedCell:
    """The training file of a cell is made here, one of `files` if it exists; models are not."""
    own = ctx.with_config(changed(ctx.config, cell.changes))
    student, data = own.config.student, None
    if student.schedule != "source_only":
        key = canonical_json([cell.language, own.config.dataset.model_dump()])
        if key not in files:
            files[key] = complete(own, SampleSentences([cell.language]), {"filter": filtered})
        data = files[key]
    (spec,) = zero_shot_specs(own.config, [cell.language])
    (source,) = TrainSourceModels([spec]).directories(own, {})
    folder = str(source.path.relative_to(own.out))
    gold = [g for g in own.config.evaluation if g.language == cell.language]
    # The folder's name contains what the source model was trained on, and how.
    settings = student.model_dump(exclude={"source_training", "source_model_per_seed", "seeds"})
    parts = {
        "version": CELL_VERSION,
        "student": settings if data else {"schedule": student.schedule},
        "source": folder,
        "data": hash_file(data.train[cell.language]) if data else None,
        "language": cell.language,
        "seed": cell.seed,
        "gold": [{"name": g.name, **parts} for g, parts in zip(gold, own.gold_parts(gold), strict=True)],
    }
    return PlannedCell(cell, own.config, data, spec, folder, StageDir.of(own.out, "study/cells", parts))


def _train(ctx: Context, name: str, todo: list[PlannedCell]) -> None:
    """One task for each source model, and one for each cell, which waits for its source model alone."""
    ctx.executor.connect()
    nodes = ctx.executor.nodes()
    resources, threads = one_student(ctx.config, nodes)
    log_file = ctx.out / "study" / f"{name}.log"
    log_file.parent.mkdir(exist_ok=True)
    log_file.write_text("")
    shared: dict[str, list[PlannedCell]] = {}
    for planned in todo:
        shared.setdefault(planned.source_folder, []).append(planned)
    ctx.log(f"[study] {len(shared)} source models, {len(todo)} students; each takes {_in_words(resources)}")
    waiting = {}
    for group in shared.values():
        config, languages = changed(group[0].config, SOURCE_ONLY), sorted({p.cell.language for p in group})
        title = f"{group[0].source.name} for {', '.join(languages)}"
        before = ctx.executor.submit(train_source_models, resources, config, languages, title, str(log_file), threads)
        waiting[before] = title
        for p in group:
            task = StudyTask(p.cell, p.config, p.data, p.dir, str(log_file), threads)
            waiting[ctx.executor.submit(train_cell, resources, task, before)] = p.cell.name
    with follow_log(log_file, ctx.log):
        _wait(ctx, waiting)


def _wait(ctx: Context, waiting: dict[Any, str]) -> None:
    """Wait for all tasks, even if some fail; the error of the first one is raised at the end."""
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


def one_student(config: Config, nodes: Sequence[Mapping[str, float]]) -> tuple[dict[str, float], int]:
    """What a task asks of Ray, and its threads: a share of a GPU where there is one, else the CPUs of a node.

    Args:
        config: of the study.
        nodes: resources of each node.
    """
    if config.ray.max_gpus or any(node.get("GPU", 0) >= 1 for node in nodes):
        return {"num_gpus": config.study.gpu_share, "num_cpus": 1}, 1
    cpus = config.study.cpus or cpus_per_worker(nodes, 1)
    return {"num_cpus": cpus}, cpus


def _in_words(resources: Mapping[str, float]) -> str:
    return " and ".join(f"{n:g} {name.removeprefix('num_').upper()[:3]}" for name, n in resources.items())
