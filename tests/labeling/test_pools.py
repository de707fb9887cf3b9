"""Actor pools leave CPUs for preparing and committing, share GPUs, and use one kind of GPU."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xner_ray.config import LabelConfig
from xner_ray.errors import UserError
from xner_ray.labeling.graph import CHUNKS_PER_ACTOR, MAX_CHUNK, chunk_size
from xner_ray.labeling.pools import plan_pools
from xner_ray.preflight.labeling_checks import check_placement

A10, H100 = "accelerator_type:A10G", "accelerator_type:H100"


@given(st.integers(1, 256), st.integers(1, 1000), st.none() | st.integers(1, 64))
def test_cpu_pools_fit_the_machine(cpus, shards, workers):
    plan = plan_pools(LabelConfig(max_actors=workers), [{"CPU": float(cpus)}], shards)
    assert plan.total("num_cpus") <= cpus and plan.total("num_gpus") == 0 and plan.all == [plan.model]
    assert 1 <= plan.model.size <= min(shards, workers or cpus) and plan.prepare is None
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
@pytest.mark.parametrize("node", [{"CPU": 64.0}, {"CPU": 64.0, "GPU": 8.0}])
def test_at_most_one_actor_for_each_shard(shards, node):
    pools = plan_pools(LabelConfig(), [node], shards)
    assert all(pool.size <= shards for pool in pools.all) and pools.model.size == shards


def test_gpus_hold_as_many_actors_as_their_share_allows():
    nodes = [{"CPU": 8.0, "GPU": 1.0}] * 16
    sizes = {s: plan_pools(LabelConfig(num_gpus_per_actor=s), nodes, 10_000).model.size for s in (0.25, 0.4, 0.5, 1.0)}
    assert sizes == {0.25: 64, 0.4: 32, 0.5: 32, 1.0: 16}


@given(st.integers(0, 8), st.integers(1, 64), st.integers(1, 10_000), st.none() | st.integers(1, 64))
def test_autoscaling_pools_start_with_one_actor(up, max_gpus, shards, workers):
    nodes = [{"CPU": 2.0}] + [{"CPU": 8.0, "GPU": 1.0}] * up
    plan = plan_pools(LabelConfig(max_actors=workers), nodes, shards, max_gpus)
    assert plan.autoscaling == (max_gpus > up)
    if plan.autoscaling:
        assert plan.model.size == 1 and plan.prepare and plan.prepare.size == 1
        full = plan_pools(LabelConfig(max_actors=workers), [{"CPU": 8.0, "GPU": 1.0}] * max_gpus, shards)
        assert plan.model.max_size == full.model.size <= min(2 * max_gpus, shards, workers or shards)
        assert len(plan.bundles()) == -(-full.model.size // 2) <= max_gpus


@pytest.mark.parametrize("nodes", [[{"CPU": 0.0}], [{"CPU": 8.0, "GPU": 1.0}]])
def test_committers_grow_with_the_cluster(nodes):
    plan = plan_pools(LabelConfig(), nodes, 50_000, max_gpus=64)
    assert plan.commit and plan.model.max_size == 128 and plan.commit.size == 1 and plan.commit.max_size == 16


def test_models_run_on_the_gpus_that_are_planned():
    assert plan_pools(LabelConfig(), [{"CPU": 8.0, "GPU": 1.0}], 100).torch_device == "cuda"
    assert plan_pools(LabelConfig(), [{"CPU": 0.0}], 100, max_gpus=8).torch_device == "cuda"
    assert plan_pools(LabelConfig(), [{"CPU": 8.0}], 100).torch_device is None


def test_prepare_and_commit_actors_use_no_gpu():
    for nodes, max_gpus in (([{"CPU": 8.0, "GPU": 1.0}], 0), ([{"CPU": 2.0}], 8)):
        plan = plan_pools(LabelConfig(), nodes, 100, max_gpus)
        assert plan.prepare and plan.commit
        # Ray could fuse two stages with equal resources into one actor, which would then use the GPU for both.
        assert list(plan.prepare.resources) == list(plan.commit.resources) == ["num_cpus"]


def test_without_gpus_each_core_has_one_actor_for_all_steps():
    plan = plan_pools(LabelConfig(), [{"CPU": 8.0}], 100)
    assert plan.prepare is None and plan.model.size == 8
    assert str(plan) == "8 actors that label and align, 8 CPUs"


def test_chosen_kind_of_gpu_is_used_even_if_fewer_are_up():
    nodes = [{"CPU": 8.0, "GPU": 4.0, A10: 1.0}, {"CPU": 16.0, "GPU": 1.0, H100: 1.0}]
    plan = plan_pools(LabelConfig(accelerator_type="H100"), nodes, 100)
    assert (plan.accelerator_type, plan.model.size) == ("H100", 2)
    assert (
        plan_pools(LabelConfig(), nodes, 100).accelerator_type,
        plan_pools(LabelConfig(), nodes, 100).model.size,
    ) == (
        "A10G",
        8,
    )


def test_chosen_kind_is_requested_from_the_autoscaler():
    plan = plan_pools(LabelConfig(accelerator_type="H100"), [{"CPU": 8.0, "GPU": 4.0, A10: 1.0}], 100, max_gpus=2)
    assert plan.autoscaling and plan.bundles() == [{"GPU": 1.0, "CPU": 1.0, H100: 0.001}] * 2


def test_kind_of_gpu_that_no_node_has_is_an_error():
    with pytest.raises(UserError) as e:
        plan_pools(LabelConfig(accelerator_type="H100"), [{"CPU": 8.0, "GPU": 4.0, A10: 1.0}], 100)
    assert e.value.key == "label.accelerator_type" and e.value.remedy


@given(st.integers(1, 300_000), st.integers(1, 256))
def test_chunks_are_small_where_actors_would_wait_for_each_other(shards, actors):
    size = chunk_size(shards, actors)
    assert 1 <= size <= MAX_CHUNK
    assert size == 1 or -(-shards // size) >= CHUNKS_PER_ACTOR * actors
