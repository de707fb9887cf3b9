"""The process group of a Ray Train worker group on a local Ray: without ports that other machines reach.

The rendezvous of PyTorch listens on all interfaces and asks for no token. All workers of a local Ray are on this machine, so they
meet in a file, and Gloo and NCCL use the loopback interface.
"""

from __future__ import annotations

import os
import socket
import tempfile
from pathlib import Path
from typing import Any

import ray
from ray.train.torch import TorchConfig
from ray.train.torch.config import _set_torch_distributed_env_vars, _setup_torch_process_group, _TorchBackend

from xner_ray.storage.atomic import random_id
from xner_ray.training.backends.process_group import choose_backend


class LoopbackTorchConfig(TorchConfig):
    """A `TorchConfig` for workers that are all on this machine."""

    @property
    def backend_cls(self) -> type[_TorchBackend]:
        return _LoopbackBackend


class _LoopbackBackend(_TorchBackend):
    def on_start(self, worker_group: Any, backend_config: Any) -> None:
        backend = choose_backend(worker_group)
        worker_group.execute(_set_torch_distributed_env_vars)
        worker_group.execute(_use_loopback)
        meeting = Path(tempfile.gettempdir(), f"xner-group-{random_id()}", "store")
        meeting.parent.mkdir(mode=0o700)  # readable by this user only
        ray.get(
            [
                worker_group.execute_single_async(
                    rank,
                    _setup_torch_process_group,
                    backend=backend,
                    world_rank=rank,
                    world_size=len(worker_group),
                    init_method=f"file://{meeting}",
                    timeout_s=backend_config.timeout_s,
                )
                for rank in range(len(worker_group))
            ]
        )


def _use_loopback() -> None:
    loopback = next(name for _, name in socket.if_nameindex() if name.startswith("lo"))
    os.environ |= {"GLOO_SOCKET_IFNAME": loopback, "NCCL_SOCKET_IFNAME": loopback}
