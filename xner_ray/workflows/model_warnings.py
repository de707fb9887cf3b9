"""Warnings about the models of a run, for results.json and the reports: an aligner without its weight, students that fail."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xner_ray.pipeline.runner import Runner
from xner_ray.pipeline.stages.aligner_checks import weight_warnings
from xner_ray.workflows.student_losses import find_losses


def model_warnings(runner: Runner, evaluated: Mapping[str, Any]) -> list[str]:
    """Collect the warnings about the models of a run. Those about students are logged, too.

    Args:
        runner: of the run.
        evaluated: the result of the stage `evaluate`.
    """
    collapsed = collapsed_students(evaluated["sets"])
    for line in collapsed:
        runner.ctx.log(f"[evaluate] warning: {line}")
    return [*weight_warnings(Path(runner.result("aligner"))), *collapsed, *find_losses(runner, evaluated)]


def collapsed_students(sets: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Describe each set in which the students find no entity. Zero-transfer may find none either.

    Args:
        sets: see `Evaluate`.
    """
    return [
        f"the student of {row['language']} finds none of {row['student']['support']:,} entities of {name}; look at its"
        " training sentences with `xner show`, and lower student.training.learning_rate or raise student.training.epochs"
        for name, row in sets.items()
        if row["student"]["support"] and not row["student"]["f1"]
    ]
