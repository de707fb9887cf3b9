"""How many actors of each kind label and align, and what each takes, so that nobody waits for ever."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from xner_ray.config import Label

READ, COMMIT = 0.05, 0.06  # CPUs of an actor that reads or commits, without which the pools starve
FED = 8  # actors with models that one reader and one committer serve


@dataclass(frozen=True)
class Pool:
    """`resources`: what each of its `size` actors takes, as arguments of `map_batches`."""

    size: int
    resources: dict[str, Any]

    def needs(self, what: str) -> float:
        return self.size * self.resources.get(what, 0.0)


@dataclass(frozen=True)
class Pools:
    """`feeders`: actors that read, and as many that commit."""

    label: Pool
    align: Pool
    threads: int
    device: str
    feeders: int = 1

    @property
    def read(self) -> Pool:
        return Pool(self.feeders, {"num_cpus": READ})

    @property
    def commit(self) -> Pool:
        return Pool(self.feeders, {"num_cpus": COMMIT})

    def needs(self, what: str) -> float:
        """CPUs (`num_cpus`) or GPUs (`num_gpus`) of all actors together."""
        return sum(pool.needs(what) for pool in (self.read, self.label, self.align, self.commit))


def plan_pools(label: Label, resources: dict[str, float], shards: int) -> Pools:
    """The pools for a cluster's resources.

    Aligning costs about 2.5 times labelling (1.7 queries a pair, each longer than the sentence). On CPUs every actor runs one
    thread, because two thread pools on the same cores ruin each other. They leave room for reading and committing: pools that
    take all CPUs would wait for ever for the actors that feed them.
    """
    cpus, gpus = resources.get("CPU", 1), int(resources.get("GPU", 0))
    if gpus:
        share_of_gpu = min(label.gpu_share, gpus / 2)  # one GPU holds a label and an align actor, or nothing moves
        most = max(1, int(gpus / share_of_gpu / 2))
        size = min(label.workers or most, most, shards)
        pool = Pool(size, {"num_gpus": share_of_gpu, "num_cpus": min(1.0, 0.7 * cpus / (2 * size))})
        return Pools(pool, pool, 1, f"{gpus} GPUs", _feeders(2 * size, cpus))
    size = label.workers or max(1, int(cpus))
    align, tag = min(size, shards), min(max(1, size // 2), shards)
    share = {"num_cpus": round(0.8 * cpus / (align + tag), 3)}
    return Pools(Pool(tag, share), Pool(align, share), 1, f"{cpus:.0f} CPUs", _feeders(align + tag, cpus))


def _feeders(actors: int, cpus: float) -> int:
    """One reader and one committer for FED actors with models, as far as the CPUs that these leave go."""
    return max(1, min(-(-actors // FED), int(0.2 * cpus / (READ + COMMIT))))
