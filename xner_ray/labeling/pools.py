"""Sizes and resources of the actor pools of a labeling graph. They are planned so that no actor waits forever for resources."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from xner_ray.config import LabelConfig
from xner_ray.errors import UserError

COMMIT_CPUS = (
    0.06  # of one actor; without this reserve the actors with models could take all CPUs, and no shard would end
)
MODEL_ACTORS_PER_COMMITTER = 8
TOKENIZERS_PER_GPU = 2  # one core tokenizes 2,400 to 2,900 pairs a second
CPUS_ON_UNKNOWN_NODE = 0.5  # of one actor, while its node is not up and the number of its CPUs is unknown
ACCELERATOR_TYPE = "accelerator_type:"  # prefix of the resource by which Ray names the kind of a node's GPUs
ACCELERATOR_SHARE = 0.001  # of this resource; Ray asks for as much when an actor names its kind of GPU

NodeResources = dict[str, float]  # by Ray's names (CPU, GPU)


@dataclass(frozen=True)
class Pool:
    """A pool of equal actors.

    Attributes:
        size: number of actors at the start.
        resources: of one actor, as arguments of `map_batches` (`num_cpus`, `num_gpus`).
        max_size: the pool grows up to this number of actors; 0: it does not grow.
    """

    size: int
    resources: dict[str, Any]
    max_size: int = 0

    def total(self, resource: str) -> float:
        """Amount of `num_cpus` or `num_gpus` of all actors at the start."""
        return self.size * self.resources.get(resource, 0.0)

    def __str__(self) -> str:
        return f"{self.size} to {self.max_size}" if self.max_size > self.size else f"{self.size}"


@dataclass(frozen=True)
class Pools:
    """The pools of a labeling graph.

    Attributes:
        model: actors that hold teacher and aligner. Without `prepare`, each of them does all steps of a shard.
        num_threads: torch threads of each actor.
        device: the hardware, for log lines.
        prepare: actors that read and tokenize, where `model` uses GPUs.
        commit: actors that commit, where `model` uses GPUs.
        accelerator_type: kind of GPU that each model actor requests, such as H100; None: any.
    """

    model: Pool
    num_threads: int
    device: str
    prepare: Pool | None = None
    commit: Pool | None = None
    accelerator_type: str | None = None

    @property
    def with_functions(self) -> list[Pool]:
        """The pools whose actors run a shard function in a child process."""
        return [pool for pool in (self.model, self.prepare) if pool]

    @property
    def all(self) -> list[Pool]:
        """Every pool of the graph."""
        return [pool for pool in (self.model, self.prepare, self.commit) if pool]

    @property
    def autoscaling(self) -> bool:
        """The pools grow with the cluster, so the resources of all nodes are not known yet."""
        return bool(self.model.max_size)

    @property
    def torch_device(self) -> str | None:
        """Where the models must run. None: no GPU is planned."""
        return "cuda" if self.model.resources.get("num_gpus") else None

    def total(self, resource: str) -> float:
        """Amount of `num_cpus` or `num_gpus` of all actors at the start."""
        return sum(pool.total(resource) for pool in self.all)

    def bundles(self) -> list[dict[str, float]]:
        """The resources of each GPU that an autoscaler has to provide, by Ray's names, for all model actors."""
        share = self.model.resources["num_gpus"]
        actors_per_gpu = int(1 / share + 1e-6)
        gpus = -(-max(self.model.size, self.model.max_size) // actors_per_gpu)
        bundle = {"GPU": 1.0, "CPU": actors_per_gpu * self.model.resources["num_cpus"]}
        if self.accelerator_type:
            bundle[f"{ACCELERATOR_TYPE}{self.accelerator_type}"] = ACCELERATOR_SHARE
        return [bundle] * gpus

    def without(self, gpus: int) -> Pools:
        """The pools with so many GPUs less, and at least one actor with models."""
        if not gpus:
            return self
        fewer = gpus * int(1 / self.model.resources["num_gpus"] + 1e-6)
        size, max_size = (max(1, n - fewer) if n else 0 for n in (self.model.size, self.model.max_size))
        return replace(self, model=replace(self.model, size=size, max_size=max_size))

    def __str__(self) -> str:
        return f"{self.model} actors that label and align, {self.device}"


def plan_pools(config: LabelConfig, nodes: Sequence[NodeResources], shards: int, max_gpus: int = 0) -> Pools:
    """Plan the pools for a cluster.

    An actor runs teacher and aligner of a shard one after the other. Two pools, one for each model, would need a fixed ratio of
    their sizes, but their costs depend on the corpus: subtitles have 0.2 entities a pair and news have 2. One of the pools would
    then wait for the other. The price is that each actor holds both models in memory.

    With GPUs, pools of CPU actors read and tokenize before the models and commit after them. The model actors leave CPUs for
    these, because without them they would wait forever.

    If more GPUs can come than are up, each pool starts with one actor and grows as nodes come up.

    Without GPUs, an actor does all steps of a shard. So no core waits for the first shard, and no process is started that does
    little. Each actor runs one thread, because two thread pools on the same cores slow each other down.

    Args:
        config: section `label` of the config.
        nodes: resources of each node that is up.
        shards: number of shards to label.
        max_gpus: GPUs up to which an autoscaler grows the cluster. If no more than are up, it does not grow.

    Returns:
        The pools. Each actor fits on a node, if the nodes with GPUs have CPUs.
    """
    cpus, kind = _sum(nodes, "CPU"), choose_accelerator(config, nodes)
    gpu_nodes = [n for n in nodes if n.get("GPU", 0.0) and (kind is None or kind in accelerator_types(n))]
    gpus_up = int(_sum(gpu_nodes, "GPU"))
    if gpus := max(gpus_up, max_gpus):
        return replace(_plan_gpu_pools(config, gpu_nodes, cpus, shards, gpus, gpus > gpus_up), accelerator_type=kind)
    if config.accelerator_type:
        raise UserError(
            f"the cluster has no GPU of the kind {kind}",
            key="label.accelerator_type",
            remedy="name a kind that `ray status` shows, without `accelerator_type:`, or set ray.max_gpus",
        )
    actors = min(config.max_actors or max(1, int(cpus)), shards)
    # At most one CPU, which its thread can use: few shards on many small nodes would else need an actor larger than any node.
    resources = {"num_cpus": _round_down(min(1.0, max(1.0, cpus) / actors))}
    return Pools(Pool(actors, resources), 1, f"{cpus:.0f} CPUs")


def accelerator_types(node: NodeResources) -> list[str]:
    """The kinds of GPU of a node, by the resources that Ray gives it."""
    return [name.removeprefix(ACCELERATOR_TYPE) for name in node if name.startswith(ACCELERATOR_TYPE)]


def same_accelerator(config: LabelConfig, nodes: Sequence[NodeResources], kind: str | None) -> LabelConfig:
    """The section `label` of a run that continues: with the kind of GPU of its committed shards, if it is up and none is named.

    Args:
        config: section `label` of the config.
        nodes: resources of each node that is up.
        kind: of the committed shards, by Ray's name; None: not known.
    """
    if config.accelerator_type or not any(kind in accelerator_types(node) for node in nodes):
        return config
    return config.model_copy(update={"accelerator_type": kind})


def choose_accelerator(config: LabelConfig, nodes: Sequence[NodeResources]) -> str | None:
    """The kind of GPU that labeling uses.

    All shards of a run come from one kind, because kinds differ in precision and in rounding.

    Returns:
        The kind of the config, else the kind with most GPUs; None: no node with a GPU has a known kind.
    """
    if config.accelerator_type:
        return config.accelerator_type
    gpus: Counter[str] = Counter()
    for node in nodes:
        for kind in accelerator_types(node):
            gpus[kind] += int(node.get("GPU", 0.0))
    return max(sorted(gpus), key=lambda kind: gpus[kind], default=None)


def _plan_gpu_pools(
    config: LabelConfig, gpu_nodes: Sequence[NodeResources], cpus: float, shards: int, gpus: int, autoscaling: bool
) -> Pools:
    """A third of a node's CPUs for its model actors, a third for prepare actors, the rest for commits and Ray.

    Args:
        config: section `label` of the config.
        gpu_nodes: resources of the nodes that are up and whose GPUs are used.
        cpus: of the whole cluster.
        shards: number of shards to label.
        gpus: that are up or can come.
        autoscaling: more GPUs can come than are up.
    """
    actors_per_gpu = int(
        1 / config.num_gpus_per_actor + 1e-6
    )  # an actor uses one GPU: at 0.4 a fifth of it stays free
    actors = min(actors_per_gpu * gpus, config.max_actors or shards, shards)
    cpu_shares = [node.get("CPU", 0.0) / (3 * actors_per_gpu * node["GPU"]) for node in gpu_nodes]
    num_cpus = min(CPUS_ON_UNKNOWN_NODE if autoscaling else 1.0, *cpu_shares, 1.0)
    resources: dict[str, Any] = {"num_gpus": config.num_gpus_per_actor, "num_cpus": _round_down(num_cpus)}
    preparers = min(TOKENIZERS_PER_GPU * gpus, shards)
    if autoscaling:
        commit = Pool(1, {"num_cpus": COMMIT_CPUS}, _num_committers(actors))
        prepare = Pool(1, {"num_cpus": CPUS_ON_UNKNOWN_NODE}, preparers)
        return Pools(Pool(1, resources, actors), 1, f"up to {gpus} GPUs", prepare, commit)
    # At most a tenth of the CPUs for all committers.
    commit = Pool(max(1, min(_num_committers(actors), int(0.1 * cpus / COMMIT_CPUS))), {"num_cpus": COMMIT_CPUS})
    prepare = Pool(preparers, {"num_cpus": _round_down(min(1.0, cpus / (3 * preparers)))})
    return Pools(Pool(actors, resources), 1, f"{gpus} GPUs", prepare, commit)


def _num_committers(actors: int) -> int:
    return -(-actors // MODEL_ACTORS_PER_COMMITTER)


def _sum(nodes: Sequence[NodeResources], name: str) -> float:
    return sum(node.get(name, 0.0) for node in nodes)


def _round_down(cpus: float) -> float:
    """To thousandths. Ray counts in ten-thousandths, and a rounded-up sum would be more than the node has."""
    return math.floor(cpus * 1000) / 1000
