"""Training in this process: in Ray tasks, in unit tests and notebooks, and on machines without Ray."""

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
    """A `TrainBackend` of one rank. Its checkpoint is the folder `<out>.checkpoint`.

    Args:
        checkpoint_seconds: time between checkpoints; None: no checkpoints.
        log: called with each progress line.
    """

    rank, world_size = 0, 1

    def __init__(self, checkpoint_seconds: float | None = None, log: Callable[[str], None] = print):
        self.checkpoint_seconds, self.log = checkpoint_seconds, log
        self.saved_at = time.monotonic()

    def prepare_model(self, model: torch.nn.Module) -> torch.nn.Module:
        return model

    def load_checkpoint(self, job: TrainJob) -> Path | None:
        folder = job.checkpoint_folder
        return folder if (folder / "state.json").exists() else None

    def save_checkpoint(self, job: TrainJob, write: Callable[[Path], None]) -> None:
        replace_dir(job.checkpoint_folder, write)
        self.saved_at = time.monotonic()

    def checkpoint_due(self) -> bool:
        return self.checkpoint_seconds is not None and time.monotonic() - self.saved_at >= self.checkpoint_seconds

    def sum_over_ranks(self, value: torch.Tensor) -> torch.Tensor:
        return value


def train_here(jobs: Sequence[TrainJob], threads: int, log: Callable[[str], None], checkpoint_seconds: float) -> None:
    """Train models one after another in this process, and save each one when it is trained.

    Args:
        jobs: models to train. Those that are trained already are skipped.
        threads: CPU threads of torch.
        log: called with each progress line.
        checkpoint_seconds: time between checkpoints.
    """
    import torch

    from xner_ray.training.checkpoint import is_trained, save_model
    from xner_ray.training.trainer import train

    torch.set_num_threads(threads)
    for job in jobs:
        if is_trained(job):
            continue
        model, result = train(job, LocalBackend(checkpoint_seconds, log))
        save_model(model, job, result, log)
        del model  # frees its memory for the next model
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
