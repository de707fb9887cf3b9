"""Hooks of a training in this process: for unit tests, notebooks and machines without Ray."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from xner_ray.training.job import Job

if TYPE_CHECKING:
    import torch


class LocalHooks:
    """One rank; checkpoints lie in `<out>.checkpoint`.

    Args:
        every: seconds between checkpoints; None: none.
        say: where progress lines go.
    """

    rank, world = 0, 1

    def __init__(self, every: float | None = None, say: Callable[[str], None] = print):
        self.every, self.say = every, say
        self.last = time.monotonic()

    def prepare(self, model: torch.nn.Module) -> torch.nn.Module:
        return model

    def load(self, job: Job) -> Path | None:
        folder = Path(job.out + ".checkpoint")
        return folder if (folder / "state.json").exists() else None

    def save(self, job: Job, write: Callable[[Path], None]) -> None:
        folder, new = Path(job.out + ".checkpoint"), Path(job.out + ".checkpoint.new")
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(parents=True)
        write(new)
        shutil.rmtree(folder, ignore_errors=True)
        new.rename(folder)
        self.last = time.monotonic()

    def total(self, value: torch.Tensor) -> torch.Tensor:
        return value

    def due(self) -> bool:
        return self.every is not None and time.monotonic() - self.last >= self.every
