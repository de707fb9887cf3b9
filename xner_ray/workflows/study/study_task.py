"""The Ray tasks of a study: each trains and scores source models or a student in its own process.

A study has dozens of small trainings. Ray keeps the process of a task for the next task, and runs as many tasks at once as the
cluster has resources for. Limit: one student is not trained by several workers. If a task dies, Ray runs it again: the training
continues at its last checkpoint, and complete models and scores are skipped.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from xner_ray.config import Config
from xner_ray.observability.log_follower import append_line
from xner_ray.pipeline.context import Context
from xner_ray.pipeline.executors import InProcess
from xner_ray.pipeline.runner import complete
from xner_ray.pipeline.stages.dataset import Dataset
from xner_ray.pipeline.stages.evaluate import Evaluate
from xner_ray.pipeline.stages.source_models import TrainSourceModels, zero_shot_specs
from xner_ray.pipeline.stages.student import Student, TrainStudents
from xner_ray.storage.atomic import write_json
from xner_ray.storage.stage_dir import StageDir
from xner_ray.workflows.study.grid import Cell

CELL = "cell.json"


@dataclass(frozen=True)
class StudyTask:
    """The input of a task for one cell.

    Attributes:
        cell: the cell.
        config: the config of the run with the changes of the cell.
        data: the training data; None for zero-transfer.
        dir: the directory of the result.
        log_file: the file for progress lines.
        threads: CPUs of the task.
    """

    cell: Cell
    config: Config
    data: Dataset | None
    dir: StageDir
    log_file: str
    threads: int


def train_source_models(config: Config, languages: list[str], title: str, log_file: str, threads: int) -> str:
    """Train and score the source models of some languages.

    Returns:
        `title`. Cells wait for it.
    """
    ctx = _context(config, _logger(log_file, title), threads)
    _train_and_score(ctx, languages, None)
    return title


def train_cell(task: StudyTask, _after: Any = None) -> str:
    """Train and score one student, and write its result.

    Args:
        task: the cell.
        _after: the result of `train_source_models`; Ray starts the task when it is there.
    """
    started, cell = time.monotonic(), task.cell
    ctx = _context(task.config, _logger(task.log_file, cell.name), task.threads)
    (student,), sets = _train_and_score(ctx, [cell.language], task.data)
    result = {
        "cell": asdict(cell),
        "parts": task.dir.parts,
        "student": str(student.folder),
        "data": training_counts(task.data.train[cell.language]) if task.data else None,
        "sets": {name: {**row["student"], "sentences": row["sentences"]} for name, row in sets.items()},
        "seconds": round(time.monotonic() - started, 1),
    }
    write_json(task.dir.create().path / CELL, result)
    task.dir.commit()
    return cell.name


def _train_and_score(
    ctx: Context, languages: Sequence[str], data: Dataset | None
) -> tuple[list[Student], dict[str, Any]]:
    models = complete(ctx, TrainSourceModels(zero_shot_specs(ctx.config, languages)), {})
    students = complete(ctx, TrainStudents(languages), {"teacher": models, "dataset": data})
    evaluated = complete(ctx, Evaluate(students_only=True), {"teacher": models, "student": students})
    return students, evaluated["sets"]


def _context(config: Config, log: Callable[[str], None], threads: int) -> Context:
    return Context.open(config, log=log, executor=InProcess(threads, log))


def training_counts(train: Path) -> dict[str, Any]:
    """Return the counts of a training file: `sentences`, `without_entity`, and `entities` by type."""
    tags = pq.read_table(train, columns=["ner_tags"]).column("ner_tags").combine_chunks()
    is_begin = pc.starts_with(tags.flatten(), "B-")
    types = pc.value_counts(pc.utf8_slice_codeunits(tags.flatten().filter(is_begin), 2)).to_pylist()
    with_entity = pc.count_distinct(pc.list_parent_indices(tags).filter(is_begin)).as_py()
    return {
        "sentences": len(tags),
        "without_entity": len(tags) - with_entity,
        "entities": {row["values"]: row["counts"] for row in sorted(types, key=lambda r: r["values"])},
    }


def _logger(log_file: str, title: str) -> Callable[[str], None]:
    """Return a log function that appends to the study's log file, which the driver prints."""
    return lambda line: append_line(Path(log_file), f"[{title}] {line}")
