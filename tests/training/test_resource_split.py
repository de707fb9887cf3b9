"""CPUs and models are divided among training workers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from xner_ray.training.resource_split import balanced_split, cpus_per_worker, max_parallel_jobs

GB = 1e9
NODES = st.lists(st.fixed_dictionaries({"CPU": st.integers(0, 8), "memory": st.floats(0, 64 * GB)}), max_size=4)


def test_parallel_jobs_are_limited_by_cpus_memory_and_jobs():
    assert max_parallel_jobs([{"CPU": 2, "memory": 16 * GB}], jobs=4, memory=2 * GB) == 2
    assert max_parallel_jobs([{"CPU": 16, "memory": 64 * GB}], jobs=4, memory=2 * GB) == 4
    assert max_parallel_jobs([{"CPU": 16, "memory": 7 * GB}], jobs=20, memory=2 * GB) == 3
    assert max_parallel_jobs([{"CPU": 2}, {"CPU": 2, "memory": 3 * GB}], jobs=20, memory=2 * GB) == 3


def test_one_job_runs_even_if_the_cluster_is_too_small():
    assert max_parallel_jobs([{"CPU": 1, "memory": 1 * GB}], jobs=2, memory=2 * GB) == 1
    assert max_parallel_jobs([], jobs=2, memory=1.0) == 1


@given(NODES, st.integers(1, 20))
def test_each_parallel_job_has_a_cpu(nodes, jobs):
    count = max_parallel_jobs(nodes, jobs, 2 * GB)
    cpus = cpus_per_worker(nodes, count)
    assert 1 <= count <= jobs
    assert count == 1 or sum(node["CPU"] // cpus for node in nodes) >= count


@given(st.lists(st.floats(0, 100), max_size=20), st.integers(1, 5))
def test_a_split_holds_each_job_once_and_is_even(sizes, parts):
    split = balanced_split(sizes, parts)
    assert len(split) == parts and sorted(i for part in split for i in part) == list(range(len(sizes)))
    loads = [sum(sizes[i] for i in part) for part in split]
    for part, load in zip(split, loads, strict=True):
        # Without its last job the largest part would be the smallest one.
        assert not part or load - sizes[part[-1]] <= min(loads) + 1e-6


def test_the_largest_job_goes_first():
    assert balanced_split([470, 442, 240, 281], 2) == [[0, 2], [1, 3]]
