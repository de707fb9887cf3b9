"""Actor pools leave CPUs for reading and committing, and share GPUs and cores in proportion to the costs of label and align."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xner_ray.config import LabelConfig
from xner_ray.labeling.pools import ALIGN_COST, plan_pools
from xner_ray.preflight.labeling_checks import check_placement


@given(st.integers(1, 256), st.integers(1, 1000), st.none() | st.integers(1, 64))
def test_cpu_pools_fit_the_machine(cpus, shards, workers):
    plan = plan_pools(LabelConfig(max_actors=workers), [{"CPU": float(cpus)}], shards)
    assert plan.total("num_cpus") <= cpus and plan.total("num_gpus") == 0 and plan.all == [plan.label]
    assert 1 <= plan.label.size <= min(shards, workers or cpus) and plan.align is None
    assert plan.num_threads == 1 and not plan.autoscaling


@given(st.integers(1, 64), st.integers(1, 64), st.integers(1, 1000), st.sampled_from([0.25, 0.4, 0.5, 1.0]))
def test_gpu_pools_fit_the_machine(gpus, cpus, shards, share):
    plan = plan_pools(LabelConfig(num_gpus_per_actor=share), [{"CPU": float(cpus), "GPU": float(gpus)}], shards)
    assert plan.total("num_cpus") <= cpus and plan.total("num_gpus") <= gpus


@given(st.integers(1, 8), st.lists(st.integers(1, 8), min_size=1, max_size=4), st.sampled_from([0.25, 0.5, 1.0]))
def test_every_actor_fits_on_a_node(cpus_per_gpu, gpus, share):
    nodes = [{"CPU": 4.0}, *({"CPU": float(n * cpus_per_gpu), "GPU": float(n)} for n in gpus)]
    check_placement(plan_pools(LabelConfig(num_gpus_per_actor=share), nodes, 10_000), nodes)


@given(st.lists(st.integers(1, 8), min_size=1, max_size=6), st.integers(1, 64))
def test_every_actor_fits_on_a_node_without_gpus(cpus, shards):
    nodes = [{"CPU": float(n)} for n in cpus]
    check_placement(plan_pools(LabelConfig(), nodes, shards), nodes)


@pytest.mark.parametrize("shards", [1, 6])
def test_at_most_one_actor_for_each_shard(shards):
    assert plan_pools(LabelConfig(), [{"CPU": 64.0}], shards).label.size == shards
    on_gpus = plan_pools(LabelConfig(), [{"CPU": 64.0, "GPU": 8.0}], shards)
    assert on_gpus.align and on_gpus.align.size == shards


def test_pool_sizes_are_proportional_to_costs():
    plan = plan_pools(LabelConfig(), [{"CPU": 8.0, "GPU": 1.0}] * 16, 10_000)
    assert plan.align
    assert plan.align.size / plan.label.size == pytest.approx(ALIGN_COST, rel=0.1)


def test_teacher_and_aligner_share_one_gpu():
    plan = plan_pools(LabelConfig(num_gpus_per_actor=1.0), [{"CPU": 8.0, "GPU": 1.0}], 100)
    assert plan.align
    assert (plan.label.size, plan.align.size) == (1, 1)
    assert plan.label.resources["num_gpus"] == plan.align.resources["num_gpus"] == 0.5


@given(st.integers(0, 8), st.integers(1, 64), st.integers(1, 10_000), st.none() | st.integers(1, 64))
def test_autoscaling_pools_start_with_one_gpu(up, max_gpus, shards, workers):
    nodes = [{"CPU": 2.0}] + [{"CPU": 8.0, "GPU": 1.0}] * up
    plan = plan_pools(LabelConfig(max_actors=workers), nodes, shards, max_gpus)
    assert plan.autoscaling == (max_gpus > up)
    if plan.autoscaling:
        assert plan.align
        assert plan.label.size == plan.align.size == 1 and plan.total("num_gpus") == 1.0
        assert plan.label.max_size + plan.align.max_size <= 2 * max_gpus
        assert max(plan.label.max_size, plan.align.max_size) <= min(shards, workers or shards)
        full = plan_pools(LabelConfig(max_actors=workers), [{"CPU": 8.0, "GPU": 1.0}] * max_gpus, shards)
        assert full.align
        assert (plan.label.max_size, plan.align.max_size) == (full.label.size, full.align.size)


def test_read_tokenize_and_commit_actors_use_no_gpu():
    for nodes, max_gpus in (([{"CPU": 8.0, "GPU": 1.0}], 0), ([{"CPU": 2.0}], 8)):
        plan = plan_pools(LabelConfig(), nodes, 100, max_gpus)
        assert plan.tokenize is not None
        on_cpus = [plan.read.resources, plan.tokenize.resources, plan.commit.resources]
        assert all(list(resources) == ["num_cpus"] for resources in on_cpus)
        # Ray could fuse two stages with equal resources into one actor, which would then use the GPU for both.
        assert plan.read.resources != plan.tokenize.resources != plan.commit.resources


def test_without_gpus_each_core_has_one_actor_for_all_steps():
    plan = plan_pools(LabelConfig(), [{"CPU": 8.0}], 100)
    assert plan.tokenize is None and plan.align is None and plan.label.size == 8
    assert str(plan) == "8 actors that label and align, 8 CPUs"
