"""An autoscaler whose nodes take long to boot brings all nodes of a labeling in the time of two boots.

The first node is needed to learn the kind of GPU and the precision. All others boot at the same time.
"""

from __future__ import annotations

import itertools
import json
import time
from pathlib import Path

import pytest
import yaml

from bench.emulated import emulated_job, write_shards
from tests.harness.booting_nodes import Boot
from tests.harness.emulated_gpu import DENSITY, FOLDER
from tests.harness.fake_cloud import FakeCloud, fake_cloud
from tests.harness.null_runs import ROOT
from tests.harness.own_process import run_in_own_process
from xner_ray.config import LabelConfig
from xner_ray.labeling.graph import label_shards
from xner_ray.labeling.pools import plan_pools
from xner_ray.preflight.labeling_checks import wait_for_node
from xner_ray.training.backends.nodes import nodes_up

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
NODES, BOOT_SECONDS, SHARDS = 8, 6.0, 2000
# From the end of a boot to the next request: raylet and first task start, and the autoscaler looks once a second.
START_SECONDS = 20.0
TIMEOUT = 200.0


def label_until_all_nodes_are_up(address: str, folder: Path) -> tuple[int, list[str]]:
    """Label shards on a cluster without nodes until all nodes are up; the largest number of nodes, and log lines."""
    import ray

    lines: list[str] = []
    cloud, deadline = FakeCloud(address), time.monotonic() + TIMEOUT
    ray.init(address, runtime_env={"env_vars": {FOLDER: str(folder), DENSITY: "1"}}, log_to_driver=False)
    try:
        pools = plan_pools(LabelConfig(num_gpus_per_actor=1.0), nodes_up(), SHARDS, max_gpus=NODES)
        wait_for_node(pools, lines.append)
        most = 0
        for _ in label_shards(write_shards(folder, SHARDS, 100), pools, emulated_job(folder)):
            most = max(most, cloud.gpu_nodes())
            if most == NODES or time.monotonic() > deadline:
                break
        return most, lines
    finally:
        ray.shutdown()


def test_eight_nodes_come_in_the_time_of_two_boots(tmp_path):
    boot_log = tmp_path / "boots.jsonl"
    speed = yaml.safe_load((ROOT / "cluster" / "aws.yaml").read_text())["upscaling_speed"]
    with fake_cloud(NODES, 60.0, BOOT_SECONDS, boot_log, speed) as cloud:
        most, lines = run_in_own_process(label_until_all_nodes_are_up, cloud.address, tmp_path)
    boots = [Boot(**json.loads(line)) for line in boot_log.read_text().splitlines()]
    assert most == NODES == len(boots) and "a GPU was free after" in lines[-1]
    times = sorted(boot.requested for boot in boots)
    waves = [1]  # nodes that were requested at the same time
    for before, after in itertools.pairwise(times):
        waves = [*waves, 1] if after - before > BOOT_SECONDS / 2 else [*waves[:-1], waves[-1] + 1]
    seconds = max(boot.booted for boot in boots) - times[0]
    print(f"\n{waves} nodes at a time, {seconds:.1f} s with boots of {BOOT_SECONDS:.0f} s")
    assert waves == [1, NODES - 1]
    assert seconds < 2 * BOOT_SECONDS + START_SECONDS
