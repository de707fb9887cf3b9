"""What the training loop needs from its surroundings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from xner_ray.training.job import TrainJob

if TYPE_CHECKING:
    import torch


class TrainBackend(Protocol):
    """The ranks of a training, its checkpoints and its progress lines.

    Attributes:
        rank: number of this process among those that train the model, from 0.
        world_size: number of these processes.
    """

    rank: int
    world_size: int

    def prepare_model(self, model: torch.nn.Module) -> torch.nn.Module:
        """Return the model as the loop calls it, such as in DistributedDataParallel."""
        ...

    def load_checkpoint(self, job: TrainJob) -> Path | None:
        """Folder of the last checkpoint of this job; None: start at step 0."""
        ...

    def save_checkpoint(self, job: TrainJob, write: Callable[[Path], None]) -> None:
        """Save a checkpoint. All ranks call it; `write` fills a folder with its files."""
        ...

    def checkpoint_due(self) -> bool:
        """Return whether to save a checkpoint now; the same answer on all ranks. Called after each step."""
        ...

    def sum_over_ranks(self, value: torch.Tensor) -> torch.Tensor:
        """Return the sum of a scalar tensor over all ranks."""
        ...

    def log(self, line: str) -> None:
        """Report a progress line."""
        ...
