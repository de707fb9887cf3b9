"""Sizes and resources of the actor pools of a labeling graph. They are planned so that no actor waits forever for resources."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from xner_ray.config import LabelConfig

READ_CPUS, COMMIT_CPUS = 0.05, 0.06  # of one actor; without this reserve the actors with models get no input
MODEL_ACTORS_PER_READER = 8  # actors with models that one reader and one committer serve
ALIGN_COST = 2.5  # to align a shard, where to label it costs 1: a pair has 1.7 queries, each longer than its sentence
TOKENIZERS_PER_GPU = 2
CPUS_ON_UNKNOWN_NODE = 0.5  # of one actor, while its node is not up and the number of its CPUs is unknown

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
        label: label actors. Without `align`, each of its actors does all steps of a shard.
        align: align actors.
        num_threads: torch threads of each actor.
        device: the hardware, for log lines.
        num_readers: number of read actors, and also of commit actors.
        tokenize: tokenize actors, where `label` and `align` use GPUs.
    """

    label: Pool
    align: Pool | None
    num_threads: int
    device: str
    num_readers: int = 0
    tokenize: Pool | None = None

    @property
    def read(self) -> Pool:
        """The read actors."""
        return Pool(self.num_readers, {"num_cpus": READ_CPUS})

    @property
    def commit(self) -> Pool:
        """The commit actors."""
        return Pool(self.num_readers, {"num_cpus": COMMIT_CPUS})

    @property
    def with_functions(self) -> list[Pool]:
        """The pools whose actors run a shard function in a child process."""
        return [pool for pool in (self.label, self.align, self.tokenize) if pool]

    @property
    def all(self) -> list[Pool]:
        """Every pool of the graph."""
        return [*self.with_functions, *([self.read, self.commit] if self.num_readers else [])]

    @property
    def autoscaling(self) -> bool:
        """The pools grow with the cluster, so the resources of all nodes are not known yet."""
        return bool(self.label.max_size)

    def total(self, resource: str) -> float:
        """Amount of `num_cpus` or `num_gpus` of all actors at the start."""
        return sum(pool.total(resource) for pool in self.all)

    def __str__(self) -> str:
        if self.align is None:
            return f"{self.label} actors that label and align, {self.device}"
        return f"{self.label} label actors, {self.align} align actors, {self.device}"


def plan_pools(config: LabelConfig, nodes: Sequence[NodeResources], shards: int, max_gpus: int = 0) -> Pools:
    """Plan the pools for a cluster.

    With GPUs, teacher and aligner share them. The sizes of the two pools are proportional to their costs, so that both are
    equally busy. The actors with models leave CPUs for the read and commit actors, because without these they would wait forever.

    If more GPUs can come than are up, each pool starts with one actor. This makes the autoscaler start a node, and Ray Data adds
    actors when shards queue. If all actors were requested at once, the label actors could take every new GPU, and no shard would
    be finished.

    Without GPUs, an actor does all steps of a shard. So no core waits for the labels of the first shard, or while the last shard
    is aligned, and no process is started that does little. The price is that each actor holds both models in memory. Each actor
    runs one thread, because two thread pools on the same cores slow each other down.

    Args:
        config: section `label` of the config.
        nodes: resources of each node that is up.
        shards: number of shards to label.
        max_gpus: GPUs up to which an autoscaler grows the cluster. If no more than are up, it does not grow.

    Returns:
        The pools. Each actor fits on a node, if the nodes with GPUs have CPUs.
    """
    cpus, gpus_up = _sum(nodes, "CPU"), int(_sum(nodes, "GPU"))
    if gpus := max(gpus_up, max_gpus):
        return _plan_gpu_pools(config, nodes, shards, gpus, autoscaling=gpus > gpus_up)
    actors = min(config.max_actors or max(1, int(cpus)), shards)
    # At most one CPU, which its thread can use: few shards on many small nodes would else need an actor larger than any node.
    resources = {"num_cpus": _round_down(min(1.0, max(1.0, cpus) / actors))}
    return Pools(Pool(actors, resources), None, 1, f"{cpus:.0f} CPUs")


def _plan_gpu_pools(
    config: LabelConfig, nodes: Sequence[NodeResources], shards: int, gpus: int, autoscaling: bool
) -> Pools:
    """A third of a node's CPUs for its actors with models, a third for tokenize actors, the rest for reading and committing."""
    gpu_share = min(config.num_gpus_per_actor, gpus / 2)  # a single GPU must hold a label and an align actor
    actors_per_gpu = int(1 / gpu_share + 1e-6)  # an actor uses one GPU: at 0.4 the last fifth of each GPU stays free
    slots = actors_per_gpu * gpus
    label = max(1, round(slots / (1 + ALIGN_COST)))
    label, align = (min(n, config.max_actors or n, shards) for n in (label, slots - label))
    cpu_shares = [node.get("CPU", 0.0) / (3 * actors_per_gpu * node["GPU"]) for node in nodes if node.get("GPU", 0.0)]
    num_cpus = min(CPUS_ON_UNKNOWN_NODE if autoscaling else 1.0, *cpu_shares, 1.0)
    resources = {"num_gpus": gpu_share, "num_cpus": _round_down(num_cpus)}
    cpus, tokenizers = _sum(nodes, "CPU"), min(TOKENIZERS_PER_GPU * gpus, shards)
    readers = _num_readers(label + align, cpus)
    if autoscaling:
        tokenize = Pool(1, {"num_cpus": CPUS_ON_UNKNOWN_NODE}, tokenizers)
        return Pools(Pool(1, resources, label), Pool(1, resources, align), 1, f"up to {gpus} GPUs", readers, tokenize)
    tokenize = Pool(tokenizers, {"num_cpus": _round_down(min(1.0, cpus / (3 * tokenizers)))})
    return Pools(Pool(label, resources), Pool(align, resources), 1, f"{gpus} GPUs", readers, tokenize)


def _num_readers(actors: int, cpus: float) -> int:
    """One reader and one committer for 8 actors with models, but at most a fifth of the CPUs for all of them."""
    return max(1, min(-(-actors // MODEL_ACTORS_PER_READER), int(0.2 * cpus / (READ_CPUS + COMMIT_CPUS))))


def _sum(nodes: Sequence[NodeResources], name: str) -> float:
    return sum(node.get(name, 0.0) for node in nodes)


def _round_down(cpus: float) -> float:
    """To thousandths. Ray counts in ten-thousandths, and a rounded-up sum would be more than the node has."""
    return math.floor(cpus * 1000) / 1000
