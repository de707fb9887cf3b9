"""Actor pools leave room for the tasks that feed them: pools that take every CPU wait for ever, silently."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xner_ray.config import Label
from xner_ray.stages.pools import plan_pools


@given(st.integers(1, 256), st.integers(1, 1000), st.none() | st.integers(1, 64))
def test_cpu_pools_leave_room(cpus, shards, workers):
    plan = plan_pools(Label(workers=workers), {"CPU": float(cpus)}, shards)
    assert plan.needs("num_cpus") <= cpus and plan.needs("num_gpus") == 0
    assert 1 <= plan.label.size <= shards and 1 <= plan.align.size <= shards
    assert plan.threads == 1


@given(st.integers(1, 64), st.integers(1, 64), st.integers(1, 1000), st.sampled_from([0.25, 0.5, 1.0]))
def test_gpu_pools_fit(gpus, cpus, shards, share):
    plan = plan_pools(Label(gpu_share=share), {"CPU": float(cpus), "GPU": float(gpus)}, shards)
    assert plan.needs("num_cpus") <= cpus and plan.needs("num_gpus") <= gpus


@pytest.mark.parametrize("shards", [1, 6])
def test_no_more_actors_than_shards(shards):
    plan = plan_pools(Label(), {"CPU": 64.0}, shards)
    assert plan.align.size == shards
