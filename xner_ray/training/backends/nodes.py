"""The nodes of the Ray cluster."""

from __future__ import annotations


def nodes_up() -> list[dict[str, float]]:
    """Resources of each live node, by Ray's names (CPU, GPU, memory)."""
    import ray

    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def describe_resources() -> str | None:
    """Return the resources of the Ray cluster, e.g. `8 GPUs (V100), 64 CPUs`; None if Ray was not started."""
    import ray

    if not ray.is_initialized():
        return None
    resources = ray.cluster_resources()
    types = sorted(x.partition(":")[2] for x in resources if x.startswith("accelerator_type:"))
    gpus = f"{resources['GPU']:g} GPUs ({', '.join(types) or 'unknown type'}), " if resources.get("GPU") else ""
    return f"{gpus}{resources.get('CPU', 0):g} CPUs"
