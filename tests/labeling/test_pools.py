"""Actor pools leave room for what feeds them and divide GPUs and cores by what labeling and aligning cost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xner_ray.config import Label
from xner_ray.labeling.pools import ALIGN_COST, plan_pools
from xner_ray.preflight.labeling_checks import check_placement


@given(st.integers(1, 256), st.integers(1, 1000), st.none() | st.integers(1, 64))
def test_cpu_pools_fit(cpus, shards, workers):
    plan = plan_pools(Label(max_actors=workers), [{"CPU": float(cpus)}], shards)
    assert plan.needs("num_cpus") <= cpus and plan.needs("num_gpus") == 0 and plan.all == [plan.label]
    assert 1 <= plan.label.size <= min(shards, workers or cpus) and plan.align is None
    assert plan.threads == 1 and not plan.grow


@given(st.integers(1, 64), st.integers(1, 64), st.integers(1, 1000), st.sampled_from([0.25, 0.4, 0.5, 1.0]))
def test_gpu_pools_fit(gpus, cpus, shards, share):
    plan = plan_pools(Label(num_gpus_per_actor=share), [{"CPU": float(cpus), "GPU": float(gpus)}], shards)
    assert plan.needs("num_cpus") <= cpus and plan.needs("num_gpus") <= gpus


@given(st.integers(1, 8), st.lists(st.integers(1, 8), min_size=1, max_size=4), st.sampled_from([0.25, 0.5, 1.0]))
def test_every_actor_finds_a_node(cpus_a_gpu, gpus, share):
    nodes = [{"CPU": 4.0}, *({"CPU": float(n * cpus_a_gpu), "GPU": float(n)} for n in gpus)]
    check_placement(plan_pools(Label(num_gpus_per_actor=share), nodes, 10_000), nodes)


@given(st.lists(st.integers(1, 8), min_size=1, max_size=6), st.integers(1, 64))
def test_every_actor_finds_a_node_without_gpus(cpus, shards):
    nodes = [{"CPU": float(n)} for n in cpus]
    check_placement(plan_pools(Label(), nodes, shards), nodes)


@pytest.mark.parametrize("shards", [1, 6])
def test_no_more_actors_than_shards(shards):
    assert plan_pools(Label(), [{"CPU": 64.0}], shards).label.size == shards
    on_gpus = plan_pools(Label(), [{"CPU": 64.0, "GPU": 8.0}], shards)
    assert on_gpus.align and on_gpus.align.size == shards


def test_sizes_are_as_costs():
    plan = plan_pools(Label(), [{"CPU": 8.0, "GPU": 1.0}] * 16, 10_000)
    assert plan.align
    assert plan.align.size / plan.label.size == pytest.approx(ALIGN_COST, rel=0.1)


def test_teacher_and_aligner_share_one_gpu():
    plan = plan_pools(Label(num_gpus_per_actor=1.0), [{"CPU": 8.0, "GPU": 1.0}], 100)
    assert plan.align
    assert (plan.label.size, plan.align.size) == (1, 1)
    assert plan.label.resources["num_gpus"] == plan.align.resources["num_gpus"] == 0.5


@given(st.integers(0, 8), st.integers(1, 64), st.integers(1, 10_000), st.none() | st.integers(1, 64))
def test_pools_that_grow_start_with_what_one_gpu_holds(up, max_gpus, shards, workers):
    nodes = [{"CPU": 2.0}] + [{"CPU": 8.0, "GPU": 1.0}] * up
    plan = plan_pools(Label(max_actors=workers), nodes, shards, max_gpus)
    assert plan.grow == (max_gpus > up)
    if plan.grow:
        assert plan.align
        assert plan.label.size == plan.align.size == 1 and plan.needs("num_gpus") == 1.0
        assert plan.label.most + plan.align.most <= 2 * max_gpus
        assert max(plan.label.most, plan.align.most) <= min(shards, workers or shards)
        wanted = plan_pools(Label(max_actors=workers), [{"CPU": 8.0, "GPU": 1.0}] * max_gpus, shards)
        assert wanted.align
        assert (plan.label.most, plan.align.most) == (wanted.label.size, wanted.align.size)


def test_who_reads_tokenizes_and_commits_holds_no_gpu():
    for nodes, most in (([{"CPU": 8.0, "GPU": 1.0}], 0), ([{"CPU": 2.0}], 8)):
        plan = plan_pools(Label(), nodes, 100, most)
        assert plan.tokenize is not None
        on_cpus = [plan.read.resources, plan.tokenize.resources, plan.commit.resources]
        assert all(list(resources) == ["num_cpus"] for resources in on_cpus)
        # Equal arguments would let Ray fuse a stage into the one before, and with it the GPU.
        assert plan.read.resources != plan.tokenize.resources != plan.commit.resources


def test_without_gpus_an_actor_a_core_does_it_all():
    plan = plan_pools(Label(), [{"CPU": 8.0}], 100)
    assert plan.tokenize is None and plan.align is None and plan.label.size == 8
    assert plan.told == "8 actors that label and align, 8 CPUs"
