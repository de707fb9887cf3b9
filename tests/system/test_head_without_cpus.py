"""A head that offers no CPUs, as in cluster/: small tasks run on the worker, and preflight reads the cluster right."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness.own_process import run_in_own_process
from xner_ray.config.load import load_config
from xner_ray.pipeline.executors import RayExecutor
from xner_ray.preflight.probes import run_checks

pytestmark = pytest.mark.slow


def node(_item=None, threads=None):
    import ray

    return ray.get_runtime_context().get_node_id()


def run_on_two_nodes(out: str) -> dict[str, dict[str, tuple[bool, str]]]:
    """The results of preflights: with a worker, without one, and without one but with an autoscaler."""
    import ray
    from ray.cluster_utils import Cluster

    options = {"object_store_memory": 200 * 2**20}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False, **options})
    worker = cluster.add_node(num_cpus=2, **options)
    config = load_config("configs/tiny.yaml", [f"out={out}", f"ray.address={cluster.address}"])

    def preflight(config):
        return {result.name: (result.ok, result.message) for result in run_checks(config)}

    try:
        results = {"worker": preflight(config)}
        executor = RayExecutor(config.ray, Path(out), print)
        nodes = {*executor.map(node, range(4)), executor.compute(node, 0)}
        assert nodes == {worker.node_id}
        cluster.remove_node(worker)
        results["none"] = preflight(config)
        autoscaled = config.ray.model_copy(update={"max_gpus": 2})
        results["autoscaler"] = preflight(config.model_copy(update={"ray": autoscaled}))
    finally:
        ray.shutdown()
        cluster.shutdown()
    return results


def test_a_head_without_cpus(monkeypatch, tmp_path):
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    results = run_in_own_process(run_on_two_nodes, str(tmp_path / "out"))
    assert all(ok for ok, _ in results["worker"].values()), results["worker"]
    assert "2 nodes" in results["worker"]["cluster"][1] and "2 CPUs" in results["worker"]["cluster"][1]
    assert "on 2 CPUs" in results["worker"]["hours"][1]
    for name in ("labeling", "training"):
        ok, message = results["none"][name]
        assert not ok and "ray.max_gpus" in message
        assert results["autoscaler"][name][0], results["autoscaler"][name]
