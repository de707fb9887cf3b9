"""Random numbers of a training: a seed for each rank, and a state that a checkpoint keeps.

Ranks draw dropout masks from different seeds, because equal masks on all ranks are less noise than one rank would have. A resumed
training continues with the numbers that the interrupted one would have drawn. The checkpoint is rank 0's, so the other ranks get
new seeds from the step.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch


class RandomState:
    """The generators of one rank.

    Args:
        seed: of the training.
        rank: of this process.
        device: of the model.
    """

    def __init__(self, seed: int, rank: int, device: torch.device):
        self.seed, self.rank, self.device = seed, rank, device
        self.numpy = np.random.Generator(np.random.SFC64(self._seed(0)))
        if rank:
            torch.manual_seed(self._seed(0))

    def tensors(self) -> dict[str, torch.Tensor]:
        """The states of torch's generators, uint8."""
        states = {"random.cpu": torch.get_rng_state()}
        if self.device.type == "cuda":
            states["random.cuda"] = torch.cuda.get_rng_state(self.device)
        return states

    def counters(self) -> dict[str, Any]:
        """The state of NumPy's generator as JSON."""
        state = self.numpy.bit_generator.state
        return {**state, "state": {"state": [int(x) for x in state["state"]["state"]]}}

    def load(self, tensors: dict[str, torch.Tensor], counters: dict[str, Any], step: int) -> None:
        """Continue as the checkpoint's rank 0, or with seeds of the step on another rank.

        Args:
            tensors: of a checkpoint, see `tensors`.
            counters: of a checkpoint, see `counters`.
            step: of the checkpoint.
        """
        if self.rank:
            torch.manual_seed(self._seed(step))
            self.numpy.bit_generator.state = np.random.SFC64(self._seed(step)).state
            return
        torch.set_rng_state(tensors["random.cpu"])
        if self.device.type == "cuda" and "random.cuda" in tensors:
            torch.cuda.set_rng_state(tensors["random.cuda"], self.device)
        words = np.array(counters["state"]["state"], np.uint64)
        self.numpy.bit_generator.state = {**counters, "state": {"state": words}}

    def _seed(self, step: int) -> int:
        """The training's seed on rank 0 at its start, else one that follows from seed, rank and step."""
        if not (self.rank or step):
            return self.seed
        return int(np.random.SeedSequence([self.seed, self.rank, step]).generate_state(1)[0])
