"""GPUs that fail, and that Ray must give to no actor. Ray cannot exclude a GPU, so idle actors hold them."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection
from typing import Any

from xner_ray.labeling.isolation import device_id
from xner_ray.labeling.pools import accelerator_types

log = logging.getLogger(__name__)

LOG_SECONDS = 60.0  # between two log lines while no GPU is free
MAX_HOLD_SECONDS = 600.0  # of waiting for a GPU that fails, which another job may hold


class LeftOutGpus:
    """Holds GPUs until `close`.

    Args:
        accelerator_type: kind of the GPUs of the run, by Ray's name; None: any.
    """

    def __init__(self, accelerator_type: str | None):
        self.accelerator_type = accelerator_type
        self._holders: dict[str, Any] = {}

    def add(self, devices: Collection[str]) -> int:
        """Hold more GPUs. It waits until the actors of the last graph release them, and until another GPU is free.

        A GPU whose node is gone needs no holder. A GPU that another job holds for 10 minutes is not held.

        Args:
            devices: by `device_id`.

        Returns:
            The number of other GPUs that are up. Other jobs may hold some of them.
        """
        import ray

        # Ray chooses the GPU of a holder, so there is one for each GPU, and those on other GPUs end.
        options: dict[str, Any] = {"num_gpus": 1, "num_cpus": 0}
        if self.accelerator_type:
            options["accelerator_type"] = self.accelerator_type
        holder_class: Any = ray.remote(**options)(_Holder)
        holders = [holder_class.remote() for _ in range(self._count_others())]
        waiting = {holder.device.remote(): holder for holder in holders}
        started, other_is_free = time.monotonic(), False
        try:
            while waiting and self._count_others():
                seconds = time.monotonic() - started
                missing = _on_nodes_up(devices) - self._holders.keys()
                if other_is_free and (not missing or seconds > MAX_HOLD_SECONDS):
                    break
                done, _ = ray.wait([*waiting], timeout=LOG_SECONDS)
                if not done:
                    what = "the GPU that fails" if other_is_free else "all other GPUs"
                    log.warning("[label] other jobs hold %s; waiting for %.0f min", what, (seconds + LOG_SECONDS) / 60)
                for answer in done:
                    holder = waiting.pop(answer)
                    try:
                        device = ray.get(answer)
                    except ray.exceptions.RayActorError:
                        continue  # its node is gone
                    if device in devices and device not in self._holders:
                        self._holders[device] = holder
                    else:
                        other_is_free = True
            return self._count_others()
        finally:
            for holder in holders:
                if holder not in self._holders.values():
                    ray.kill(holder)

    def close(self) -> None:
        """Release all GPUs."""
        import ray

        for holder in self._holders.values():
            ray.kill(holder)
        self._holders.clear()

    def _count_others(self) -> int:
        """The GPUs of the run's kind that are up and not held here."""
        gpus = sum(
            int(node["Resources"].get("GPU", 0))
            for node in _nodes_up()
            if self.accelerator_type is None or self.accelerator_type in accelerator_types(node["Resources"])
        )
        return gpus - len(_on_nodes_up(self._holders))


class _Holder:
    """Actor: holds a GPU."""

    def device(self) -> str:
        return device_id()


def _nodes_up() -> list[dict[str, Any]]:
    import ray

    return [node for node in ray.nodes() if node["Alive"]]


def _on_nodes_up(devices: Collection[str]) -> set[str]:
    """The devices whose node is up."""
    nodes = {node["NodeID"] for node in _nodes_up()}
    return {device for device in devices if device.partition("/")[0] in nodes}
