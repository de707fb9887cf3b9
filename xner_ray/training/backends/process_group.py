"""How the workers of a Ray Train group find each other: NCCL between GPUs, else Gloo.

Ray chooses NCCL as soon as workers have a GPU by its own count. A torch without CUDA cannot start NCCL, and a Ray whose GPUs are
emulated has none. So the workers are asked.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ray.train.torch import TorchConfig
from ray.train.torch.config import _TorchBackend


class GroupTorchConfig(TorchConfig):
    """A `TorchConfig` for the nodes of a cluster."""

    @property
    def backend_cls(self) -> type[_TorchBackend]:
        return _GroupBackend


class _GroupBackend(_TorchBackend):
    def on_start(self, worker_group: Any, backend_config: Any) -> None:
        super().on_start(worker_group, replace(backend_config, backend=choose_backend(worker_group)))


def choose_backend(worker_group: Any) -> str:
    """`nccl` if each worker has a GPU that its torch can use, else `gloo`."""
    gpus = worker_group.get_resources_per_worker().get("GPU", 0) > 0
    return "nccl" if gpus and all(worker_group.execute(_finds_gpu)) else "gloo"


def _finds_gpu() -> bool:
    import torch

    return torch.cuda.is_available()
