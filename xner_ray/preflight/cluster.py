"""The machines of a run: a Ray cluster, or this machine as a local Ray would see it.

Both classes have the same methods. No local Ray is started for a preflight, because it takes seconds and knows no more.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from xner_ray.config import RayConfig
from xner_ray.errors import UserError
from xner_ray.labeling.pools import NodeResources, accelerator_types
from xner_ray.preflight.checks import Gpu
from xner_ray.preflight.ray_session import connect, usable_cpus

NODE_TIMEOUT_SECONDS = 60.0  # for the answers of all nodes; starting a Ray worker on an idle node takes ten


class Machines(Protocol):
    """Facts about the machines of a run.

    Attributes:
        description: for messages.
        nodes: resources of each node.
    """

    description: str
    nodes: list[NodeResources]

    def available(self) -> NodeResources:
        """The free resources of all nodes together."""
        ...

    def gpus(self) -> list[Gpu]:
        """One GPU of each kind that is up."""
        ...

    def on_each_node(self, task: Callable[..., str], *arguments: Any) -> dict[str, str]:
        """Run a task on every node; returns its results by the node's address."""
        ...


class LocalMachine:
    """This machine, as a local Ray would see it."""

    def __init__(self, settings: RayConfig):
        cpus = settings.num_cpus or usable_cpus()
        self.description = "a local Ray, started for the run"
        self.nodes: list[NodeResources] = [{"CPU": float(cpus), "GPU": float(count_gpus())}]

    def available(self) -> NodeResources:
        """All resources."""
        return self.nodes[0]

    def gpus(self) -> list[Gpu]:
        """The first GPU. Only on a cluster does a preflight check GPUs of different kinds."""
        return [local_gpu("a GPU")] if self.nodes[0]["GPU"] else []

    def on_each_node(self, task: Callable[..., str], *arguments: Any) -> dict[str, str]:
        """Run a task in this process."""
        return {"here": task(*arguments)}


class RayCluster:
    """A Ray cluster.

    Args:
        settings: section `ray` of the config.
        address: of the cluster.

    Raises:
        UserError: Ray cannot connect to it.
    """

    def __init__(self, settings: RayConfig, address: str):
        import ray
        from ray.exceptions import AuthenticationError

        try:
            connect(settings)
        except AuthenticationError as e:
            remedy = "set RAY_AUTH_MODE to the cluster's mode; `ray get-auth-token` on the head prints its token"
            raise UserError(_first_line(e), file=address, key="RAY_AUTH_MODE", remedy=remedy) from e
        except (ConnectionError, TimeoutError, RuntimeError, ValueError) as e:
            remedy = "check ray.address or RAY_ADDRESS, RAY_AUTH_MODE, and that the cluster has this version of Ray"
            problem = f"cannot connect: {_first_line(e)}"
            raise UserError(problem, file=address, key="ray.address", remedy=remedy) from e
        self._ray: Any = ray
        self._alive = [node for node in ray.nodes() if node["Alive"]]
        self.description = f"a Ray of {len(self._alive)} nodes at {address}"
        self.nodes = [node["Resources"] for node in self._alive]

    def available(self) -> NodeResources:
        """The free resources of all nodes together."""
        return self._ray.available_resources()

    def gpus(self) -> list[Gpu]:
        """One GPU of each kind that is up.

        Raises:
            UserError: no GPU of a kind is free, or its node does not answer.
        """
        node_of_kind: dict[str, str] = {}
        for node in self._alive:
            if node["Resources"].get("GPU", 0.0):
                kinds = accelerator_types(node["Resources"]) or ["a GPU"]
                node_of_kind.setdefault(kinds[0], node["NodeID"])
        tasks = [self._submit(node, local_gpu, kind, num_gpus=0.01) for kind, node in node_of_kind.items()]
        return self._results(tasks, "no GPU was free for the check")

    def on_each_node(self, task: Callable[..., str], *arguments: Any) -> dict[str, str]:
        """Run a task on every node; returns its results by the node's address."""
        tasks = [self._submit(node["NodeID"], task, *arguments) for node in self._alive]
        results = self._results(tasks, "not every node answered")
        return {n["NodeManagerAddress"]: result for n, result in zip(self._alive, results, strict=True)}

    def _submit(self, node: str, task: Callable[..., Any], *arguments: Any, num_gpus: float = 0.0) -> Any:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        strategy = NodeAffinitySchedulingStrategy(node, soft=False)
        options = {"num_cpus": 0, "num_gpus": num_gpus, "scheduling_strategy": strategy, "max_retries": 1}
        return self._ray.remote(**options)(task).remote(*arguments)

    def _results(self, tasks: list[Any], problem: str) -> list[Any]:
        try:
            return self._ray.get(tasks, timeout=NODE_TIMEOUT_SECONDS)
        except self._ray.exceptions.GetTimeoutError as e:
            remedy = "wait for other jobs, or look at the nodes in Ray's dashboard"
            raise UserError(f"{problem} within {NODE_TIMEOUT_SECONDS:.0f} s", remedy=remedy) from e
        except self._ray.exceptions.RayError as e:
            last_line = str(e).strip().splitlines()[-1]
            remedy = (
                "submit it as a job, so that nodes get the code: ray job submit --runtime-env runtime_env.yaml -- ..."
            )
            raise UserError(f"a node cannot run xner_ray: {last_line}", remedy=remedy) from e


def count_gpus() -> int:
    """The GPUs that torch sees. Without an NVIDIA driver there is none, and torch, which takes seconds, is not imported."""
    if not Path("/proc/driver/nvidia").exists() and shutil.which("nvidia-smi") is None:
        return 0
    import torch

    return torch.cuda.device_count()


def local_gpu(name: str) -> Gpu:
    """The GPU of this process. `name` is used if torch sees no GPU."""
    import torch

    if not torch.cuda.is_available():
        return Gpu(name, None, (), torch.__version__)
    capability, kernels = torch.cuda.get_device_capability(), tuple(torch.cuda.get_arch_list())
    return Gpu(torch.cuda.get_device_name(), capability, kernels, torch.__version__)


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
