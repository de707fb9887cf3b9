"""Problems that would fail a labeling late, or let it wait forever, are found before its first shard."""

from __future__ import annotations

import pytest

from xner_ray.errors import UserError
from xner_ray.labeling.pools import COMMIT_CPUS, Pool, Pools
from xner_ray.preflight.labeling_checks import check_disk, check_object_store, check_placement, wait_for_resources

MODELS, PREPARE = Pool(4, {"num_gpus": 0.5, "num_cpus": 0.7}), Pool(1, {"num_cpus": 0.05})
ON_GPUS = Pools(MODELS, 1, "2 GPUs", PREPARE, Pool(1, {"num_cpus": COMMIT_CPUS}))
ON_CPUS = Pools(Pool(2, {"num_cpus": 1.0}), 1, "2 CPUs")


def test_full_disk_is_an_error(tmp_path):
    check_disk(str(tmp_path), 1.0)
    check_disk(f"file://{tmp_path}", 1.0)
    check_disk("s3://bucket/run", 1e18)
    with pytest.raises(UserError, match="GB are free") as e:
        check_disk(str(tmp_path), 1e18)
    assert "label.output_uri" in e.value.remedy


def test_small_object_store_is_an_error():
    check_object_store({"object_store_memory": 1e9}, ON_GPUS, 10e6)
    with pytest.raises(UserError, match="5 actors hold 1,431 MB") as e:
        check_object_store({"object_store_memory": 1e9}, ON_GPUS, 100e6)
    assert e.value.key == "ingest.shard_rows"
    check_object_store({"object_store_memory": 1e6}, ON_CPUS, 100e6)  # no shard passes through it


def test_gpu_without_cpus_on_its_node_is_an_error():
    check_placement(ON_GPUS, [{"CPU": 8}, {"CPU": 2, "GPU": 1}, {"CPU": 2, "GPU": 1}])
    check_placement(ON_GPUS, [{"CPU": 4, "GPU": 2}])
    with pytest.raises(UserError, match=r"no node has room for an actor that takes 0\.5 GPU and 0\.7 CPU") as e:
        check_placement(ON_GPUS, [{"CPU": 8}, {"CPU": 1, "GPU": 1}, {"CPU": 1, "GPU": 1}])
    assert "CPUs" in e.value.remedy


def test_resources_of_a_dead_driver_are_awaited():
    answers = iter([{"CPU": 0.5}, {"CPU": 4.0, "GPU": 1.0}, {"CPU": 4 * 0.7 + 0.05 + COMMIT_CPUS, "GPU": 2.0}])
    wait_for_resources(ON_GPUS, lambda: next(answers), timeout=30)
    with pytest.raises(UserError, match=r"needs 2\.91 CPUs at once and the cluster has 2\.00 free"):
        wait_for_resources(ON_GPUS, lambda: {"CPU": 2.0, "GPU": 2.0}, timeout=0)
