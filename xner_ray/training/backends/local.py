"""Backend of a training in this process: for unit tests, notebooks and machines without Ray."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from xner_ray.storage.atomic import replace_dir
from xner_ray.training.job import TrainJob

if TYPE_CHECKING:
    import torch


class LocalBackend:
    """One rank; checkpoints lie in `<out>.checkpoint`.

    Args:
        every: seconds between checkpoints; None: none.
        say: where progress lines go.
    """

    rank, world = 0, 1

    def __init__(self, every: float | None = None, log: Callable[[str], None] = print):
        self.every, self.log = every, log
        self.last = time.monotonic()

    def prepare(self, model: torch.nn.Module) -> torch.nn.Module:
        return model

    def load(self, job: TrainJob) -> Path | None:
        folder = Path(job.out + ".checkpoint")
        return folder if (folder / "state.json").exists() else None

    def save(self, job: TrainJob, write: Callable[[Path], None]) -> None:
        replace_dir(job.out + ".checkpoint", write)
        self.last = time.monotonic()

    def total(self, value: torch.Tensor) -> torch.Tensor:
        return value

    def due(self) -> bool:
        return self.every is not None and time.monotonic() - self.last >= self.every


def train_here(jobs: Sequence[TrainJob], threads: int, log: Callable[[str], None], checkpoint_seconds: float) -> None:
    """Train models one after another in this process and save them; those that are trained are skipped."""
    import torch

    from xner_ray.training.checkpoint import is_trained, save_model
    from xner_ray.training.trainer import train

    torch.set_num_threads(threads)
    for job in jobs:
        if is_trained(job):
            continue
        model, result = train(job, LocalBackend(checkpoint_seconds, log))
        save_model(model, job, result)
        del model  # the process lives on, and its memory is the next model's
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
