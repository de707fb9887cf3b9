"""A GPU whose processes die is left out, and the run finishes on the others; without a device that works it ends."""

from __future__ import annotations

import io
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.emulated import emulated_job, write_shards
from tests.harness.emulated_gpu import DENSITY, FOLDER, SICK, SICK_AT_START
from tests.harness.null_runs import ray_head
from tests.harness.own_process import run_in_own_process
from xner_ray.config import LabelConfig
from xner_ray.errors import UserError
from xner_ray.labeling.graph import label_shards
from xner_ray.labeling.pools import plan_pools
from xner_ray.storage.shard_store import ShardStore
from xner_ray.training.backends.nodes import nodes_up

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
SHARDS = 12


class OtherJob:
    """Actor: holds a GPU."""

    def gpu(self) -> list[str]:
        import ray

        return ray.get_runtime_context().get_accelerator_ids()["GPU"]


def label(folder: Path, gpus: int, fault: str, sick: str) -> tuple[list[dict[str, Any]], str]:
    """Label shards on emulated GPUs; the rows of committed shards, and the log. Another job holds GPU 0 of several."""
    import ray

    log = io.StringIO()
    logging.getLogger("xner_ray").addHandler(logging.StreamHandler(log))

    variables = {FOLDER: str(folder), DENSITY: "1", fault: sick}
    kind = '--resources={"accelerator_type:H100": 1}'  # as Ray describes a node with such GPUs
    with ray_head(4, f"--num-gpus={gpus}", kind) as head:
        ray.init(head.address, runtime_env={"env_vars": variables}, log_to_driver=False)
        try:
            nodes = nodes_up()
            if gpus > 1:
                other = ray.remote(num_gpus=1, num_cpus=0)(OtherJob).remote()
                assert ray.get(other.gpu.remote()) == ["0"]
                nodes[0]["GPU"] -= 1
            pools = plan_pools(LabelConfig(num_gpus_per_actor=1.0, accelerator_type="H100"), nodes, SHARDS)
            job = replace(emulated_job(folder), left_out_seconds=2.0)
            return list(label_shards(write_shards(folder, SHARDS, 200), pools, job)), log.getvalue()
        finally:
            ray.shutdown()


def test_run_finishes_on_the_gpu_that_works(tmp_path):
    rows, log = run_in_own_process(label, tmp_path, 3, SICK, "1")
    assert sorted(row["shard"] for row in rows) == sorted(ShardStore(tmp_path / "store").committed())
    assert len(rows) == SHARDS and not any(row["quarantined"] for row in rows)
    assert any("GPU 1 of" in line and "left out: " in line for line in log.splitlines())
    assert "GPU 0 of" not in log and "GPU 2 of" not in log


@pytest.mark.parametrize("fault", [SICK, SICK_AT_START])
def test_run_without_a_device_that_works_is_an_error(tmp_path, fault):
    with pytest.raises(UserError, match="no device can run the models: GPU 0 of") as e:
        run_in_own_process(label, tmp_path, 1, fault, "0")
    assert e.value.remedy and not ShardStore(tmp_path / "store").committed()
