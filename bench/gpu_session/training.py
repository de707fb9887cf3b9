"""The parts `training` and `resume`: the package's training loop."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from bench.gpu_session.models import TYPES, Rows, Shape, embedded_shape, large_shape, save_model
from bench.gpu_session.parts import Recorder, Session
from xner_ray.encoders.ragged import Ragged
from xner_ray.training.backends.local import LocalBackend
from xner_ray.training.data import IGNORE_INDEX, TrainSet
from xner_ray.training.job import TrainJob
from xner_ray.training.trainer import train

STEPS, WARM_UP = 40, 5  # optimizer steps, and those that are not timed


class InterruptedTrainingError(Exception):
    """The training was stopped after a checkpoint."""


class StepClock(LocalBackend):
    """Notes the time of each step, and stops a training after a checkpoint.

    Args:
        stop_at: step after which to save a checkpoint and stop; 0: do not stop.
    """

    def __init__(self, stop_at: int = 0):
        super().__init__(log=lambda line: None)
        self.stop_at, self.times = stop_at, []  # type: tuple[int, list[float]]

    def checkpoint_due(self) -> bool:
        self.times.append(time.monotonic())
        return len(self.times) == self.stop_at

    def save_checkpoint(self, job: TrainJob, write: Callable[[Path], None]) -> None:
        super().save_checkpoint(job, write)
        raise InterruptedTrainingError


def training(session: Session, recorder: Recorder) -> None:
    """Tokens per second of the loop, without its first steps."""
    rows = Rows(session)
    for name, shape in (("large", large_shape(session)), ("embedded", embedded_shape(session))):
        recorder.measure(name, lambda name=name, shape=shape: training_rates(session, rows, name, shape))


def training_rates(session: Session, rows: Rows, name: str, shape: Shape) -> dict[str, Any]:
    """Rates of one model."""
    start = save_model(session, name, TYPES, session.work / name) if name == "large" else session.encoder
    job, lengths = make_job(session, rows, start, name)
    backend = StepClock()
    _, result = train(job, backend, session.device)
    warm = min(WARM_UP, len(backend.times) // 2)
    seconds = (backend.times[-1] - backend.times[warm - 1]) / (len(backend.times) - warm)
    tokens, flops = result.tokens / result.steps, 3 * shape.flops(lengths) / result.steps
    return {
        "tokens_per_second": round(tokens / seconds),
        "tflops": round(flops / seconds / 1e12, 4),
        "steps": result.steps,
        "losses": [round(result.losses[0], 4), round(result.losses[-1], 4)],
    }


def resume(session: Session, recorder: Recorder) -> None:
    """A training that stops after a third of its steps and continues, against one that does not stop."""

    def run() -> dict[str, Any]:
        rows = Rows(session)
        job, _ = make_job(session, rows, session.encoder, "whole")
        _, whole = train(job, StepClock(), session.device)
        stop = whole.steps // 3
        job, _ = make_job(session, rows, session.encoder, "interrupted")
        with contextlib.suppress(InterruptedTrainingError):
            train(job, StepClock(stop), session.device)
        second = StepClock()
        _, continued = train(job, second, session.device)
        difference = np.abs(np.array(whole.losses) - np.array(continued.losses))
        return {
            "steps": whole.steps,
            "stopped_at": stop,
            "steps_after_resume": len(second.times) + 1,
            "largest_loss_difference": float(difference.max().round(5)),
            "mean_loss": round(float(np.mean(whole.losses)), 4),
        }

    recorder.measure("embedded", run)


def make_job(session: Session, rows: Rows, start: Path, name: str) -> tuple[TrainJob, np.ndarray]:
    """A training of about STEPS steps over source sentences with random labels on half of the tokens, and its row lengths."""
    per_step, steps = (256, 6) if session.small else (16384, STEPS)
    settings = {**rows.settings["training"], "epochs": 1, "tokens_per_step": per_step, "precision": "bf16"}
    settings["max_micro_batch_tokens"] = per_step
    if session.small:
        settings["precision"] = "fp32"
    sentences = rows.teacher
    wanted = np.arange(steps * per_step // max(1, int(sentences.lengths.mean())))
    ids: Ragged = sentences.take(wanted % len(sentences))
    random = np.random.default_rng(5)
    labels = random.integers(0, len(TYPES), len(ids.values)).astype(np.int32)
    labels[random.random(len(labels)) < 0.5] = IGNORE_INDEX
    data = session.work / f"{name}.npz"
    TrainSet(ids, labels).save(data)
    training: Any = SimpleNamespace(**settings)  # the configuration's class needs pydantic
    job = TrainJob(name, str(start), TYPES, training, 1, str(data), str(session.work / f"{name}-out"))
    return job, ids.lengths
