"""How many actors of each kind label and align, and what each takes, so that nobody waits for ever."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from xner_ray.config import Label

READ, COMMIT = 0.05, 0.06  # CPUs of an actor that reads or commits, without which the pools starve
FED = 8  # actors with models that one reader and one committer serve
ALIGN_COST = 2.5  # of aligning a shard, where labeling it is 1: 1.7 queries a pair, each longer than the sentence
TOKENIZERS = 2  # actors that cut texts for the models of one GPU
BESIDE = 0.5  # CPUs of an actor whose node is not up yet, so that nobody knows how many it has

Node = dict[str, float]


@dataclass(frozen=True)
class Pool:
    """`size`: actors, each with `resources` (arguments of `map_batches`). `most`: up to which it grows, 0: it does not."""

    size: int
    resources: dict[str, Any]
    most: int = 0

    def needs(self, what: str) -> float:
        return self.size * self.resources.get(what, 0.0)

    @property
    def told(self) -> str:
        return f"{self.size} to {self.most}" if self.most > self.size else f"{self.size}"


@dataclass(frozen=True)
class Pools:
    """`align`: None where an actor does a shard whole. `tokenize`: where the others hold GPUs. `feeders`: actors that read,
    and as many that commit.
    """

    label: Pool
    align: Pool | None
    threads: int
    device: str
    feeders: int = 0
    tokenize: Pool | None = None

    @property
    def read(self) -> Pool:
        return Pool(self.feeders, {"num_cpus": READ})

    @property
    def commit(self) -> Pool:
        return Pool(self.feeders, {"num_cpus": COMMIT})

    @property
    def guarded(self) -> list[Pool]:
        """Those that work on shards in a child process."""
        return [pool for pool in (self.label, self.align, self.tokenize) if pool]

    @property
    def told(self) -> str:
        """In a few words."""
        if self.align is None:
            return f"{self.label.told} actors that label and align, {self.device}"
        return f"{self.label.told} label actors, {self.align.told} align actors, {self.device}"

    @property
    def all(self) -> list[Pool]:
        return [*self.guarded, *([self.read, self.commit] if self.feeders else [])]

    @property
    def grow(self) -> bool:
        """Nodes are still to come, and only then is known what they hold."""
        return bool(self.label.most)

    def needs(self, what: str) -> float:
        """CPUs (`num_cpus`) or GPUs (`num_gpus`) of all actors together, as they start."""
        return sum(pool.needs(what) for pool in self.all)


def plan_pools(label: Label, nodes: Sequence[Node], shards: int, max_gpus: int = 0) -> Pools:
    """The pools for a cluster.

    Teacher and aligner share GPUs, so their sizes are as their costs: then they are busy alike however Ray lays them. Where
    more GPUs may come than are up, each pool starts with one actor, which is what makes the autoscaler bring a node, and Ray
    Data adds actors where shards queue. Were all asked for at once, those that label could take every GPU that comes, and
    nothing would ever be finished.

    On CPUs an actor does a shard whole, from reading to committing, so that no core waits for the first shard's labels or while
    the last one is aligned, and no process is started that does little; models of both kinds lie in memory for each. Every
    actor runs one thread, because two thread pools on the same cores ruin each other. On GPUs they leave room for reading and
    committing: pools that take all CPUs would wait for ever for the actors that feed them.

    Args:
        nodes: that are up, by Ray's names (CPU, GPU).
        max_gpus: up to which an autoscaler grows; fewer than are up: it does not.
    """
    cpus, up = _sum(nodes, "CPU"), int(_sum(nodes, "GPU"))
    if gpus := max(up, max_gpus):
        return _on_gpus(label, nodes, shards, gpus, gpus > up)
    actors = min(label.max_actors or max(1, int(cpus)), shards)
    # No more than its thread can use: few shards on many small nodes would else ask for an actor that no node holds.
    share = {"num_cpus": _down(min(1.0, max(1.0, cpus) / actors))}
    return Pools(Pool(actors, share), None, 1, f"{cpus:.0f} CPUs")


def _on_gpus(label: Label, nodes: Sequence[Node], shards: int, gpus: int, grow: bool) -> Pools:
    """A node's CPUs: a third for its actors with models, a third for those that tokenize, the rest to read and commit."""
    share = min(label.num_gpus_per_actor, gpus / 2)  # one GPU holds a label and an align actor, or nothing moves
    each = int(1 / share + 1e-6)  # an actor lies on one GPU: a share of 0.4 leaves the last fifth of each free
    slots = each * gpus
    tag = max(1, round(slots / (1 + ALIGN_COST)))
    tag, align = (min(n, label.max_actors or n, shards) for n in (tag, slots - tag))
    beside = [node.get("CPU", 0.0) / (3 * each * node["GPU"]) for node in nodes if node.get("GPU", 0.0)]
    resources = {"num_gpus": share, "num_cpus": _down(min(BESIDE if grow else 1.0, *beside, 1.0))}
    cpus, cut = _sum(nodes, "CPU"), min(TOKENIZERS * gpus, shards)
    feeders = _feeders(tag + align, cpus)
    if grow:
        pools = Pool(1, resources, tag), Pool(1, resources, align)
        return Pools(*pools, 1, f"up to {gpus} GPUs", feeders, Pool(1, {"num_cpus": BESIDE}, cut))
    tokenize = Pool(cut, {"num_cpus": _down(min(1.0, cpus / (3 * cut)))})
    return Pools(Pool(tag, resources), Pool(align, resources), 1, f"{gpus} GPUs", feeders, tokenize)


def _feeders(actors: int, cpus: float) -> int:
    """One reader and one committer for FED actors with models, as far as the CPUs that these leave go."""
    return max(1, min(-(-actors // FED), int(0.2 * cpus / (READ + COMMIT))))


def _sum(nodes: Sequence[Node], name: str) -> float:
    return sum(node.get(name, 0.0) for node in nodes)


def _down(cpus: float) -> float:
    """As Ray counts, in ten-thousandths, and never more than there is."""
    return math.floor(cpus * 1000) / 1000
