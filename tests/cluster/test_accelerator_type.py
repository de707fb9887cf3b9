"""The autoscaler starts the kind of GPU that was asked for: Ray's scheduler, offline, on the node types of the cluster files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.harness.manifests import documents
from xner_ray.config import LabelConfig
from xner_ray.labeling.pools import accelerator_types, plan_pools

CLUSTER = Path(__file__).parents[2] / "cluster"
FILES = ["aws.yaml", "gcp.yaml", "kuberay/raycluster.yaml", "kuberay/rayjob.yaml", "kuberay/raycronjob.yaml"]
HEAD = [{"CPU": 8.0}]  # the only node that is up
GPUS = 4


def node_types(file: str) -> dict[str, dict[str, Any]]:
    """The node types that Ray's autoscaler reads from a file."""
    if not file.startswith("kuberay"):
        return yaml.safe_load((CLUSTER / file).read_text(encoding="utf-8"))["available_node_types"]
    from ray.autoscaler._private.kuberay.autoscaling_config import _derive_autoscaling_config_from_ray_cr

    (manifest,) = documents(CLUSTER / file)
    spec = manifest["spec"].get("jobTemplate", manifest["spec"])
    cluster = {"metadata": {"namespace": "x", "name": "x"}, "spec": spec.get("rayClusterSpec", spec)}
    return _derive_autoscaling_config_from_ray_cr(cluster)["available_node_types"]


def kinds_of(types: Mapping[str, dict[str, Any]]) -> set[str]:
    """The kinds of GPU of node types."""
    return {kind for t in types.values() for kind in accelerator_types(t["resources"])}


def launched(file: str, bundles: Sequence[Mapping[str, float]]) -> dict[str, int]:
    """The nodes that the autoscaler starts for a request of resources, by node type."""
    from ray.autoscaler.v2.instance_manager.config import NodeTypeConfig
    from ray.autoscaler.v2.scheduler import ResourceDemandScheduler, SchedulingRequest
    from ray.autoscaler.v2.utils import ResourceRequestUtil
    from ray.core.generated.autoscaler_pb2 import ClusterResourceConstraint

    requests = ResourceRequestUtil.group_by_count([ResourceRequestUtil.make(dict(bundle)) for bundle in bundles])
    configs = {
        name: NodeTypeConfig(
            name, t.get("min_workers", 0), t.get("max_workers", 0), None, t.get("priority", 0), t["resources"]
        )
        for name, t in node_types(file).items()
    }
    request = SchedulingRequest(
        disable_launch_config_check=True,
        node_type_configs=configs,
        max_num_nodes=32,
        cluster_resource_constraints=[ClusterResourceConstraint(resource_requests=requests)],
    )
    reply = ResourceDemandScheduler().schedule(request)
    assert not reply.infeasible_cluster_resource_constraints, bundles
    return {launch.instance_type: launch.count for launch in reply.to_launch}


@pytest.mark.parametrize("file", FILES)
def test_every_node_type_with_gpus_names_their_kind(file):
    gpus = {name: t["resources"] for name, t in node_types(file).items() if t["resources"].get("GPU")}
    assert gpus and all(len(accelerator_types(resources)) == 1 for resources in gpus.values())
    assert {"V100", "A100", "H100"} <= kinds_of(node_types(file))


@pytest.mark.parametrize("file", FILES)
def test_the_chosen_kind_is_started_and_no_other(file):
    types = node_types(file)
    for kind in kinds_of(types):
        pools = plan_pools(LabelConfig(accelerator_type=kind), HEAD, 1000, max_gpus=min(GPUS, max_gpus(types, kind)))
        nodes = launched(file, pools.bundles())
        assert kinds_of({name: types[name] for name in nodes}) == {kind}
        assert all(name.endswith("-spot") for name in nodes)
        assert sum(count * types[name]["resources"]["GPU"] for name, count in nodes.items()) >= len(pools.bundles())


def max_gpus(types: Mapping[str, dict[str, Any]], kind: str) -> int:
    """Number of spot GPUs of a kind that can be up at once."""
    spot = [t for name, t in types.items() if name.endswith("-spot") and kind in accelerator_types(t["resources"])]
    return sum(t["max_workers"] * t["resources"]["GPU"] for t in spot)


@pytest.mark.parametrize("file", FILES)
def test_the_first_node_of_a_run_without_a_chosen_kind_has_the_cheapest_one(file):
    """The first node of a run decides its kind. Utilization outranks priority, so the scheduler takes the smallest node."""
    pools = plan_pools(LabelConfig(), HEAD, 1000, max_gpus=GPUS)
    assert pools.accelerator_type is None
    (name,) = launched(file, pools.bundles()[:1])
    assert accelerator_types(node_types(file)[name]["resources"]) == ["V100"]
