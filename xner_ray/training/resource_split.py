"""How many CPUs each training worker gets, how many models train at the same time, and which worker trains which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def cpus_each(nodes: Sequence[Mapping[str, float]], workers: int) -> int:
    """The most that every worker can have at once. A worker lies on one node, so the sum of all CPUs says too much.

    Args:
        nodes: resources of each node.

    Returns:
        at least 1, even where there is no room: Ray waits for nodes then.
    """
    cpus = [int(node.get("CPU", 0)) for node in nodes]
    return next((n for n in range(max(cpus, default=0), 1, -1) if sum(c // n for c in cpus) >= workers), 1)


def beside(nodes: Sequence[Mapping[str, float]], jobs: int, memory: float) -> int:
    """How many models the CPUs of a cluster train at once, one worker each.

    A worker of one thread never waits for another: two of them did 1.5 times the tokens of one with two threads.

    Args:
        nodes: resources of each node; one that does not tell its memory has enough.
        jobs: models to train that do not need each other.
        memory: bytes that training one takes.

    Returns:
        at least 1.
    """
    room = sum(int(min(node.get("CPU", 0), node.get("memory", float("inf")) // memory)) for node in nodes)
    return max(1, min(jobs, room))


def split(sizes: Sequence[float], parts: int) -> list[list[int]]:
    """Indexes of jobs for each worker, so that all end at about the same time: the largest first, to who has least.

    Args:
        sizes: of the jobs, in any unit.
        parts: workers.
    """
    found: list[list[int]] = [[] for _ in range(parts)]
    loads = [0.0] * parts
    for index in sorted(range(len(sizes)), key=lambda i: -sizes[i]):
        least = loads.index(min(loads))
        found[least].append(index)
        loads[least] += sizes[index]
    return found
