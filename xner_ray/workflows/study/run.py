"""Running a study: labels once, English models once a seed, then a task for each cell that has no result yet.

Everything shared is found by its fingerprint: labels and judged pairs are the run's own, an English model belongs to (encoder,
training, types, seed), a training file to its choice of sentences. A cell's result is one JSON file under out/study/cells,
named by what it depends on and not by its study, so the recipe that stands in all four studies is trained once.
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
from xner_ray.pipeline.context import Run
from xner_ray.pipeline.pipeline import sample
from xner_ray.pipeline.stages.dataset import Dataset, dataset_of, judged
from xner_ray.pipeline.stages.source_models import ModelSpec, english_job
from xner_ray.pipeline.stages.student import wanted_bases
from xner_ray.storage.fingerprint import canonical_json, fingerprint, hash_file
from xner_ray.training.backends.nodes import nodes_up
from xner_ray.training.resource_split import cpus_per_worker
from xner_ray.workflows.study.grid import GRIDS, SOURCE_ONLY, Cell, cells, changed, stock
from xner_ray.workflows.study.table import row_values, table_of, write_table

CELL_VERSION = 1  # of what a cell's file holds; another number makes the files anew, from models that are kept
RETRIES = 3


@dataclass(frozen=True)
class Planned:
    """A cell with what it needs. `english`: the model that it starts from or is compared with."""

    cell: Cell
    config: Config
    data: Dataset | None
    english: ModelSpec
    english_folder: str
    file: Path
    parts: dict[str, Any]


def study(
    name: str, config: Config, config_file: str | Path = "", log: Callable[[str], None] | None = None
) -> tuple[pa.Table, Path]:
    """Train and measure what is missing of a study, and write its table.

    Args:
        name: one of `grid.GRIDS`.
        config: the checked config, with the study's `override` in it.
        config_file: for messages.
        say: where progress lines go; default: standard output.

    Returns:
        the table, and its Parquet file: out/study/NAME.parquet.

    Raises:
        UserError: anything in the input that is wrong, or no sentence to train on.
        Exception: that of the first cell that failed, after all others were tried.
    """
    if name not in GRIDS:
        raise UserError(f"`{name}` is no study", remedy=f"one of {', '.join(GRIDS)}")
    run = Run(config, config_file, log)
    _check_gold(run, name)
    sample(run)
    found = judged(run)
    grid = cells(name, run.config, stock(found.ledger.to_rows()))
    files: dict[str, Dataset] = {}
    planned = [_planned(run, cell, files) for cell in grid]
    todo = list({p.file: p for p in planned if not p.file.exists()}.values())
    run.log(f"[study] {name}: {len(planned)} cells, {len(planned) - len(todo)} of them done")
    if todo:
        _train(run, name, todo)
    rows = [row for p in planned for row in row_values(name, p.cell, p.config, json.loads(p.file.read_text()))]
    table = table_of(rows)
    return table, write_table(table, run.out / "study" / f"{name}.parquet")


def _check_gold(run: Run, name: str) -> None:
    asked = getattr(run.config.study, name).languages or run.config.languages
    for language in asked:
        if not any(gold.language == language for gold in run.config.evaluation):
            problem, remedy = f"no gold for `{language}`", "add a set of it, or leave it out with --languages"
            raise UserError(problem, file=run.config_file, key="evaluation", remedy=remedy)


def _planned(run: Run, cell: Cell, files: dict[str, Dataset]) -> Planned:
    """What a cell needs is made here, but for models: its training file, one of `files` if it is there, and its result's name."""
    own = run.varied(changed(run.config, cell.changes))
    student, data = own.config.student, None
    if student.schedule != "source_only":
        key = canonical_json([cell.language, own.config.dataset.model_dump()])
        data = files[key] if key in files else files.setdefault(key, dataset_of(own, [cell.language]))
    ((_, wanted),) = wanted_bases(own, [cell.language]).items()
    english = str(Path(english_job(own, wanted).out).parent.relative_to(own.out))
    gold = [g for g in own.config.evaluation if g.language == cell.language]
    # What English was trained on and how is in the name of its folder.
    trained = student.model_dump(exclude={"source_training", "source_model_per_seed", "seeds"})
    parts = {
        "version": CELL_VERSION,
        "student": trained if data else {"schedule": student.schedule},
        "english": english,
        "data": hash_file(data.train[cell.language]) if data else None,
        "language": cell.language,
        "seed": cell.seed,
        "gold": [{"name": g.name, **parts} for g, parts in zip(gold, own.gold_parts(gold), strict=True)],
    }
    file = own.out / "study" / "cells" / f"{fingerprint(parts)}.json"
    return Planned(cell, own.config, data, wanted, english, file, parts)


def _train(run: Run, name: str, todo: list[Planned]) -> None:
    """One task for each English model, and one for each cell, which waits for its English model alone."""
    import ray

    run.ray()
    resources, threads = one_student(run.config, nodes_up())
    # GPU tasks take a process each by default; ours leave their GPU's memory empty, so the next one may have it.
    options: dict[str, Any] = {**resources, "max_retries": RETRIES, "max_calls": 0}
    from xner_ray.workflows.study.study_task import Order, train_cell, train_english

    log_file = run.out / "study" / f"{name}.log"
    log_file.parent.mkdir(exist_ok=True)
    log_file.write_text("")
    english, cell = ray.remote(**options)(train_english), ray.remote(**options)(train_cell)
    shared: dict[str, list[Planned]] = {}
    for item in todo:
        shared.setdefault(item.english_folder, []).append(item)
    run.log(f"[study] {len(shared)} English models, {len(todo)} students; each takes {_told(resources)}")
    waiting = {}
    for items in shared.values():
        config, languages = changed(items[0].config, SOURCE_ONLY), sorted({p.cell.language for p in items})
        title = f"{items[0].english.name} for {', '.join(languages)}"
        before = english.remote(config, languages, title, str(log_file), threads)
        waiting[before] = title
        for p in items:
            order = Order(p.cell, p.config, p.data, str(p.file), p.parts, str(log_file), threads)
            waiting[cell.remote(order, before)] = p.cell.name
    with follow_log(log_file, run.log):
        _wait(run, waiting)


def _wait(run: Run, waiting: dict[Any, str]) -> None:
    """Wait for all tasks, whatever becomes of some; the first one's error is raised at the end."""
    import ray

    total, failed = len(waiting), []
    while waiting:
        (ready,), _ = ray.wait(list(waiting), num_returns=1)
        title = waiting.pop(ready)
        try:
            ray.get(ready)
            run.log(f"[study] {total - len(waiting)}/{total} {title}: done")
        except ray.exceptions.RayError as e:
            failed.append(e)
            run.log(f"[study] {total - len(waiting)}/{total} {title}: failed, {str(e).strip().splitlines()[-1]}")
    if failed:
        run.log(f"[study] {len(failed)} of {total} failed; what is done is kept, and the same command goes on")
        raise failed[0]


def one_student(config: Config, nodes: Sequence[Mapping[str, float]]) -> tuple[dict[str, float], int]:
    """What a task asks of Ray, and its threads: a share of a GPU where there is one, else the CPUs of a node.

    Args:
        nodes: resources of each node.
    """
    if config.ray.max_gpus or any(node.get("GPU", 0) >= 1 for node in nodes):
        return {"num_gpus": config.study.gpu_share, "num_cpus": 1}, 1
    cpus = config.study.cpus or cpus_per_worker(nodes, 1)
    return {"num_cpus": cpus}, cpus


def _told(resources: Mapping[str, float]) -> str:
    return " and ".join(f"{n:g} {name.removeprefix('num_').upper()[:3]}" for name, n in resources.items())
