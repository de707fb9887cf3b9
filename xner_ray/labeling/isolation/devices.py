"""The GPU of an actor: its name for messages, another one of the node, and the error for one that no longer works."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path
from typing import Any

VISIBLE = "CUDA_VISIBLE_DEVICES"
_DRIVER = Path("/proc/driver/nvidia/gpus")


class DeviceLostError(Exception):
    """The device of a child process fails for sound rows too."""


def device_id() -> str:
    """Ray's id of the node and the number of the GPU of this process, with a slash between. It never changes, unlike the UUID."""
    ray: Any = sys.modules.get("ray")
    node = ray.get_runtime_context().get_node_id() if ray is not None and ray.is_initialized() else ""
    return f"{node}/{os.environ.get(VISIBLE, '')}"


def device_name() -> str:
    """Host, number and UUID of the GPU of this process, as far as they are known."""
    visible = os.environ.get(VISIBLE, "")
    return f"GPU {visible or '?'} of {socket.gethostname()}{_uuid(visible)}"


def _uuid(visible: str) -> str:
    """The UUID that NVIDIA's driver shows for a number; empty where there is no such driver."""
    folders = sorted(_DRIVER.iterdir()) if _DRIVER.is_dir() else []
    if not visible.isdecimal() or int(visible) >= len(folders):
        return ""
    lines = (folders[int(visible)] / "information").read_text(errors="replace").splitlines()
    return next((f" ({line.partition(':')[2].strip()})" for line in lines if line.startswith("GPU UUID")), "")


def other_gpu(visible: str, node_gpus: int, machine_gpus: int) -> str | None:
    """The number of the next GPU; None where there is none that this run may use.

    Args:
        visible: the GPU of this process, as in CUDA_VISIBLE_DEVICES. Several GPUs and slices of a GPU (MIG) stay as they are.
        node_gpus: GPUs that Ray manages on this node.
        machine_gpus: GPUs of the machine. Where Ray manages only some of them, their numbers are not known.
    """
    if not (visible.isascii() and visible.isdecimal()) or node_gpus < 2 or node_gpus != machine_gpus:
        return None
    return str((int(visible) + 1) % machine_gpus)


def other_device() -> dict[str, str]:
    """Environment variables that move a child of this Ray actor to another GPU; empty where there is none."""
    ray: Any = sys.modules.get("ray")
    if VISIBLE not in os.environ or ray is None or not ray.is_initialized() or not _DRIVER.is_dir():
        return {}
    here = ray.get_runtime_context().get_node_id()
    node_gpus = sum(int(n["Resources"].get("GPU", 0)) for n in ray.nodes() if n["NodeID"] == here)
    gpu = other_gpu(os.environ[VISIBLE], node_gpus, len(list(_DRIVER.iterdir())))
    return {} if gpu is None else {VISIBLE: gpu}
