"""The nodes that are up, and how many CPUs of them each training worker gets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def nodes_up() -> list[dict[str, float]]:
    """What each node has that is up, by Ray's names (CPU, GPU)."""
    import ray

    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def cpus_each(nodes: Sequence[Mapping[str, float]], workers: int) -> int:
    """The most that every worker can have at once. A worker lies on one node, so the sum of all CPUs says too much.

    Args:
        nodes: resources of each node.

    Returns:
        at least 1, even where there is no room: Ray waits for nodes then.
    """
    cpus = [int(node.get("CPU", 0)) for node in nodes]
    return next((n for n in range(max(cpus, default=0), 1, -1) if sum(c // n for c in cpus) >= workers), 1)
