"""Labeling commits without a break. Graphs of 500 shards each had one of 35 seconds at the end of each graph.

The issue is a run of 3,000 small shards. This test has 1,000, which take a minute on two cores, and would be two such graphs.
"""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from bench.emulated import emulated_job, write_shards
from tests.harness.emulated_gpu import DENSITY, FOLDER
from tests.harness.null_runs import ray_head
from tests.harness.own_process import run_in_own_process
from xner_ray.config import LabelConfig
from xner_ray.labeling.graph import label_shards
from xner_ray.labeling.pools import plan_pools
from xner_ray.training.backends.nodes import nodes_up

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
SHARDS, ROWS, MAX_GAP = 1000, 10, 5.0


def label(folder: Path) -> int:
    """Label small shards on two emulated GPUs; the number of committed shards."""
    import ray

    with ray_head(4, "--num-gpus=2") as head:
        ray.init(head.address, runtime_env={"env_vars": {FOLDER: str(folder), DENSITY: "1"}}, log_to_driver=False)
        try:
            pools = plan_pools(LabelConfig(num_gpus_per_actor=1.0), nodes_up(), SHARDS)
            return sum(1 for _ in label_shards(write_shards(folder, SHARDS, ROWS), pools, emulated_job(folder)))
        finally:
            ray.shutdown()


def test_no_gap_between_commits(tmp_path):
    assert run_in_own_process(label, tmp_path) == SHARDS
    times = sorted(file.stat().st_mtime for file in (tmp_path / "store" / "manifest").glob("*.json"))
    assert len(times) == SHARDS
    gap = max(after - before for before, after in itertools.pairwise(times))
    print(f"\n{SHARDS} commits in {times[-1] - times[0]:.0f} s, the longest time without one {gap:.1f} s")
    assert gap < MAX_GAP
