"""How CPUs and models are shared out among training workers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from xner_ray.training.resource_split import beside, cpus_each, split

GB = 1e9
NODES = st.lists(st.fixed_dictionaries({"CPU": st.integers(0, 8), "memory": st.floats(0, 64 * GB)}), max_size=4)


def test_models_beside_each_other():
    assert beside([{"CPU": 2, "memory": 16 * GB}], jobs=4, memory=2 * GB) == 2
    assert beside([{"CPU": 16, "memory": 64 * GB}], jobs=4, memory=2 * GB) == 4
    assert beside([{"CPU": 16, "memory": 7 * GB}], jobs=20, memory=2 * GB) == 3
    assert beside([{"CPU": 2}, {"CPU": 2, "memory": 3 * GB}], jobs=20, memory=2 * GB) == 3
    assert beside([{"CPU": 1, "memory": 1 * GB}], jobs=2, memory=2 * GB) == 1 == beside([], jobs=2, memory=1.0)


@given(NODES, st.integers(1, 20))
def test_each_has_a_cpu(nodes, jobs):
    count = beside(nodes, jobs, 2 * GB)
    each = cpus_each(nodes, count)
    assert 1 <= count <= jobs
    assert count == 1 or sum(node["CPU"] // each for node in nodes) >= count


@given(st.lists(st.floats(0, 100), max_size=20), st.integers(1, 5))
def test_split_holds_every_job_once_and_evenly(sizes, parts):
    found = split(sizes, parts)
    assert len(found) == parts and sorted(i for part in found for i in part) == list(range(len(sizes)))
    loads = [sum(sizes[i] for i in part) for part in found]
    for part, load in zip(found, loads, strict=True):
        # Who has most would have had least without its last job: nobody waits for longer than that job takes.
        assert not part or load - sizes[part[-1]] <= min(loads) + 1e-6


def test_the_largest_first():
    assert split([470, 442, 240, 281], 2) == [[0, 2], [1, 3]]
