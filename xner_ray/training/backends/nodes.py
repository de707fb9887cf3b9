"""The nodes of the Ray cluster."""

from __future__ import annotations


def nodes_up() -> list[dict[str, float]]:
    """Resources of each live node, by Ray's names (CPU, GPU, memory)."""
    import ray

    return [node["Resources"] for node in ray.nodes() if node["Alive"]]
