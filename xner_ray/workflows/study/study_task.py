"""What a study runs as Ray tasks: the student and evaluate stages of a run, with the resources of one student.

A run gives each training a Ray Train worker group, which takes 20 to 40 seconds to start and all CPUs. A study has dozens of
small trainings: here the stages train and measure in the task's own process, which Ray keeps for the next task, and Ray runs
as many of them at once as the cluster has room for. The price: one student is not spread over several workers. Training goes
on at its last checkpoint, finished models and scores are found by their fingerprints, so a task that dies is simply run again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import pyarrow.compute as pc
import pyarrow.parquet as pq

from xner_ray.config import Config
from xner_ray.pipeline.context import Run
from xner_ray.pipeline.stages.dataset import Dataset
from xner_ray.pipeline.stages.evaluate import evaluate_students
from xner_ray.pipeline.stages.student import students_of
from xner_ray.storage.atomic import write_json
from xner_ray.training.backends.local import train_here
from xner_ray.training.job import TrainJob
from xner_ray.workflows.study.grid import Cell

T = TypeVar("T")
CHECKPOINT_SECONDS = 120.0


class LaneRun(Run):
    """A run inside a task. `data`: its training files, which are made before; `threads`: CPUs of the task."""

    def __init__(self, config: Config, log: Callable[[str], None], threads: int, data: Dataset | None = None):
        super().__init__(config, log=log)
        self.threads = threads
        self.results = {} if data is None else {"dataset": data}

    def train(self, jobs: list[TrainJob]) -> None:
        train_here(jobs, self.threads, self.log, CHECKPOINT_SECONDS)

    def compute(self, work: Callable[..., T], *arguments: Any) -> T:
        return work(*arguments, self.threads)

    def ray(self) -> None:
        raise RuntimeError("this stage should have been done before the study's tasks began")


@dataclass(frozen=True)
class Order:
    """One cell for a task. `file`: where its result goes; `parts`: what that depends on; `log`: of progress lines."""

    cell: Cell
    config: Config
    data: Dataset | None
    file: str
    parts: dict[str, Any]
    log_file: str
    threads: int


def train_english(config: Config, languages: list[str], name: str, log_file: str, threads: int) -> str:
    """Train the English models of some languages' students and measure them; the result is for cells to wait for."""
    run = LaneRun(config, _sayer(log_file, name), threads)
    evaluate_students(run, students_of(run, languages))
    return name


def train_cell(order: Order, _after: Any = None) -> str:
    """Train and measure one student, and write its result, whole or not at all."""
    began, cell = time.monotonic(), order.cell
    run = LaneRun(order.config, _sayer(order.log_file, cell.name), order.threads, order.data)
    (student,) = students_of(run, [cell.language])
    sets = evaluate_students(run, [student])
    told = {
        "cell": asdict(cell),
        "parts": order.parts,
        "student": str(student.folder),
        "data": counts(order.data.train[cell.language]) if order.data else None,
        "sets": {name: {**row["student"], "sentences": row["sentences"]} for name, row in sets.items()},
        "seconds": round(time.monotonic() - began, 1),
    }
    write_json(order.file, told)
    return cell.name


def counts(train: Path) -> dict[str, Any]:
    """Of an exported file: `sentences`, `without_entity`, and `entities` by type."""
    tags = pq.read_table(train, columns=["ner_tags"]).column("ner_tags").combine_chunks()
    begins = pc.starts_with(tags.flatten(), "B-")
    types = pc.value_counts(pc.utf8_slice_codeunits(tags.flatten().filter(begins), 2)).to_pylist()
    with_entity = pc.count_distinct(pc.list_parent_indices(tags).filter(begins)).as_py()
    return {
        "sentences": len(tags),
        "without_entity": len(tags) - with_entity,
        "entities": {row["values"]: row["counts"] for row in sorted(types, key=lambda r: r["values"])},
    }


def _sayer(log_file: str, name: str) -> Callable[[str], None]:
    """Lines go into the study's log, which the driver reads out: a worker's own output is Ray's, and noisy."""

    def log(line: str) -> None:
        with open(log_file, "a", encoding="utf-8") as file:
            file.write(f"[{name}] {line}\n")

    return log
