"""Notes the first random numbers of each worker of a Ray Train group, from which its dropout masks follow."""

from __future__ import annotations

import copy
import json
import os
from functools import partial
from pathlib import Path
from typing import Any


def note_random_numbers(folder: Path) -> None:
    """Let the groups that this process starts note the random numbers of their workers.

    A file in the folder has the rank, and the first numbers of NumPy and torch.
    """
    from xner_ray.training.backends import ray_train

    folder.mkdir(exist_ok=True)
    ray_train._train_worker = partial(_noting_worker, str(folder))  # type: ignore[assignment]


def _noting_worker(folder: str, config: dict[str, Any]) -> None:
    """A worker of the group, which has imported the module anew."""
    import torch

    from xner_ray.training import trainer
    from xner_ray.training.backends.ray_train import _train_worker
    from xner_ray.training.random_state import RandomState

    class Noted(RandomState):
        def __init__(self, seed: int, rank: int, device: torch.device):
            super().__init__(seed, rank, device)
            with torch.random.fork_rng(devices=[]):
                numbers = [copy.deepcopy(self.numpy).random(), float(torch.rand(()))]
            note = {"rank": rank, "group": torch.distributed.get_backend(), "numbers": numbers}
            Path(folder, f"{os.getpid()}.json").write_text(json.dumps(note))

    trainer.RandomState = Noted  # type: ignore[misc]
    _train_worker(config)
