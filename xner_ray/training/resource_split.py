"""How many CPUs each training worker gets, how many models train at the same time, and which worker trains which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def cpus_per_worker(nodes: Sequence[Mapping[str, float]], workers: int) -> int:
    """Return the largest number of CPUs that all workers can have at once, each on one node.

    Args:
        nodes: resources of each node, by Ray's names.
        workers: number of workers.

    Returns:
        at least 1, even if the cluster is too small: Ray then waits for nodes.
    """
    cpus = [int(node.get("CPU", 0)) for node in nodes]
    return next((n for n in range(max(cpus, default=0), 1, -1) if sum(c // n for c in cpus) >= workers), 1)


def max_parallel_jobs(nodes: Sequence[Mapping[str, float]], jobs: int, memory: float) -> int:
    """How many models the CPUs of a cluster train at the same time, with one worker each.

    More models with fewer threads each are faster: two workers with one thread each did 1.5 times the tokens of one worker with
    two threads, because a single thread never waits for another.

    Args:
        nodes: resources of each node, by Ray's names. A node without `memory` has no limit.
        jobs: models to train. None of them needs another one.
        memory: bytes that training one model takes.

    Returns:
        at least 1.
    """
    slots = sum(int(min(node.get("CPU", 0), node.get("memory", float("inf")) // memory)) for node in nodes)
    return max(1, min(jobs, slots))


def balanced_split(sizes: Sequence[float], parts: int) -> list[list[int]]:
    """Split jobs into parts of about the same size: the largest job first, to the smallest part.

    Args:
        sizes: of the jobs, in any unit.
        parts: number of parts.

    Returns:
        indices of the jobs of each part.
    """
    split: list[list[int]] = [[] for _ in range(parts)]
    loads = [0.0] * parts
    for index in sorted(range(len(sizes)), key=lambda i: -sizes[i]):
        smallest = loads.index(min(loads))
        split[smallest].append(index)
        loads[smallest] += sizes[index]
    return split
