"""The machines that a run would have: a Ray cluster that is joined, or this machine, as what a local Ray would see.

Two classes with the same methods. A local Ray is not started just to be asked: it costs seconds and would know no more.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Protocol

from xner_ray.config import RayConfig
from xner_ray.errors import UserError
from xner_ray.preflight.checks import Gpu

PATIENCE = 60.0  # seconds in which a node has to answer; starting a worker on a cold one takes ten
_TYPE = "accelerator_type:"  # of a resource that Ray gives a node for its GPU

Node = dict[str, float]


class Machines(Protocol):
    """What the survey asks.

    Attributes:
        where: in words.
        nodes: what each node has, by Ray's names (CPU, GPU).
    """

    where: str
    nodes: list[Node]

    def available(self) -> Node: ...
    def gpus(self) -> list[Gpu]: ...
    def everywhere(self, task: Callable[..., str], *args: Any) -> dict[str, str]: ...


class LocalMachine:
    """This machine, as a local Ray would see it."""

    def __init__(self, settings: RayConfig):
        import torch

        cpus = settings.num_cpus or len(os.sched_getaffinity(0))
        self.where = "a local Ray, started for the run"
        self.nodes: list[Node] = [{"CPU": float(cpus), "GPU": float(torch.cuda.device_count())}]

    def available(self) -> Node:
        return self.nodes[0]

    def gpus(self) -> list[Gpu]:
        """The first; a machine with GPUs of two kinds has to be a cluster to be asked for each."""
        return [this_gpu("a GPU")] if self.nodes[0]["GPU"] else []

    def everywhere(self, task: Callable[..., str], *args: Any) -> dict[str, str]:
        return {"here": task(*args)}


class RayCluster:
    """A Ray cluster.

    Raises:
        UserError: it cannot be joined.
    """

    def __init__(self, settings: RayConfig, address: str):
        import ray
        from ray.exceptions import AuthenticationError

        from xner_ray.preflight.ray_session import connect

        try:
            connect(settings)
        except AuthenticationError as e:
            remedy = "set RAY_AUTH_MODE to the cluster's mode; its token is what `ray get-auth-token` says on the head"
            raise UserError(_first_line(e), file=address, key="RAY_AUTH_MODE", remedy=remedy) from e
        except (ConnectionError, TimeoutError, RuntimeError, ValueError) as e:
            remedy = "check ray.address or RAY_ADDRESS, that this Ray is the cluster's, and RAY_AUTH_MODE"
            raise UserError(
                f"cannot be joined: {_first_line(e)}", file=address, key="ray.address", remedy=remedy
            ) from e
        self._ray: Any = ray
        self._alive = [node for node in ray.nodes() if node["Alive"]]
        self.where = f"a Ray of {len(self._alive)} nodes at {address}"
        self.nodes = [node["Resources"] for node in self._alive]

    def available(self) -> Node:
        return self._ray.available_resources()

    def gpus(self) -> list[Gpu]:
        """One of each kind that is up. Raises: UserError where none of a kind is free, or its node does not answer."""
        kinds: dict[str, str] = {}
        for node in self._alive:
            if node["Resources"].get("GPU", 0.0):
                kind = next((k.removeprefix(_TYPE) for k in node["Resources"] if k.startswith(_TYPE)), "a GPU")
                kinds.setdefault(kind, node["NodeID"])
        asked = [self._on(node, this_gpu, kind, num_gpus=0.01) for kind, node in kinds.items()]
        return self._answers(asked, "no GPU was free to be asked")

    def everywhere(self, task: Callable[..., str], *args: Any) -> dict[str, str]:
        """A task's answer on every node, by the node's address."""
        asked = [self._on(node["NodeID"], task, *args) for node in self._alive]
        answers = self._answers(asked, "not every node answered")
        return {n["NodeManagerAddress"]: answer for n, answer in zip(self._alive, answers, strict=True)}

    def _on(self, node: str, task: Callable[..., Any], *args: Any, num_gpus: float = 0.0) -> Any:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        strategy = NodeAffinitySchedulingStrategy(node, soft=False)
        options = {"num_cpus": 0, "num_gpus": num_gpus, "scheduling_strategy": strategy, "max_retries": 1}
        return self._ray.remote(**options)(task).remote(*args)

    def _answers(self, asked: list[Any], problem: str) -> list[Any]:
        try:
            return self._ray.get(asked, timeout=PATIENCE)
        except self._ray.exceptions.GetTimeoutError as e:
            remedy = "wait for other jobs, or look at the nodes in Ray's dashboard"
            raise UserError(f"{problem} within {PATIENCE:.0f} s", remedy=remedy) from e
        except self._ray.exceptions.RayError as e:
            last = str(e).strip().splitlines()[-1]
            remedy = (
                "submit it as a job, which brings the code along: ray job submit --runtime-env runtime_env.yaml -- ..."
            )
            raise UserError(f"a node cannot run our code: {last}", remedy=remedy) from e


def this_gpu(kind: str) -> Gpu:
    """The GPU of this process. `kind`: its name, where torch sees none."""
    import torch

    if not torch.cuda.is_available():
        return Gpu(kind, None, (), torch.__version__)
    capability, kernels = torch.cuda.get_device_capability(), tuple(torch.cuda.get_arch_list())
    return Gpu(torch.cuda.get_device_name(), capability, kernels, torch.__version__)


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
