"""Actor pools leave room for the tasks that feed them: pools that take every CPU wait for ever, silently."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xner_ray.config import Label
from xner_ray.stages.label import pools

FEEDERS = 0.05 + 0.06  # reading and committing


@given(st.integers(1, 256), st.integers(1, 1000), st.none() | st.integers(1, 64))
def test_cpu_pools_leave_room(cpus, shards, workers):
    plan = pools(Label(workers=workers), {"CPU": float(cpus)}, shards)
    taken = sum(p["size"] * p["resources"]["num_cpus"] for p in (plan["label"], plan["align"]))
    assert taken + FEEDERS <= cpus
    assert 1 <= plan["label"]["size"] <= shards and 1 <= plan["align"]["size"] <= shards
    assert plan["threads"] == 1


@given(st.integers(1, 64), st.integers(1, 64), st.integers(1, 1000), st.sampled_from([0.25, 0.5, 1.0]))
def test_gpu_pools_fit(gpus, cpus, shards, share):
    plan = pools(Label(gpu_share=share), {"CPU": float(cpus), "GPU": float(gpus)}, shards)
    both = (plan["label"], plan["align"])
    assert sum(p["size"] * p["resources"]["num_cpus"] for p in both) + FEEDERS <= cpus
    assert sum(p["size"] * p["resources"]["num_gpus"] for p in both) <= gpus


@pytest.mark.parametrize("shards", [1, 6])
def test_no_more_actors_than_shards(shards):
    plan = pools(Label(), {"CPU": 64.0}, shards)
    assert plan["align"]["size"] == shards
