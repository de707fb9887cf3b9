"""The plan of steps holds each row once, on one rank or many."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xner_ray.encoders.ragged import Ragged
from xner_ray.training.data import IGNORE_INDEX, TrainSet, micro_batches_for_rank, plan_epoch


@given(st.lists(st.integers(1, 40), min_size=1, max_size=80), st.integers(20, 200), st.integers(0, 3))
def test_each_row_is_in_one_step_of_an_epoch(lengths, tokens, epoch):
    steps = plan_epoch(np.array(lengths), tokens, 1, epoch)
    assert sorted(np.concatenate(steps).tolist()) == list(range(len(lengths)))
    again = plan_epoch(np.array(lengths), tokens, 1, epoch)
    assert all((a == b).all() for a, b in zip(steps, again, strict=True))


@given(st.lists(st.integers(1, 40), min_size=1, max_size=80), st.integers(1, 30))
def test_a_step_can_be_counted_in_sequences(lengths, sequences):
    steps = plan_epoch(np.array(lengths), 1, 1, 0, sequences)
    assert sorted(np.concatenate(steps).tolist()) == list(range(len(lengths)))
    assert {len(step) for step in steps[:-1]} <= {sequences} and len(steps[-1]) <= sequences


@given(st.lists(st.integers(1, 40), min_size=1, max_size=40), st.integers(1, 4), st.integers(10, 200))
def test_each_row_of_a_step_is_on_one_rank(lengths, world_size, max_tokens):
    step, lengths = np.arange(len(lengths)), np.array(lengths)
    by_rank = [micro_batches_for_rank(step, lengths, max_tokens, rank, world_size) for rank in range(world_size)]
    rows = [row for batches in by_rank for batch in batches for row in batch.tolist()]
    assert sorted(rows) == step.tolist()


@pytest.mark.parametrize("world_size", [1, 2, 4])
def test_more_ranks_mean_fewer_micro_batches_each(world_size):
    lengths = np.full(256, 16)
    for step in plan_epoch(lengths, 1024, 1, 0):
        counts = [len(micro_batches_for_rank(step, lengths, 256, rank, world_size)) for rank in range(world_size)]
        assert counts == [4 // world_size] * world_size  # a step has 1024 tokens at any world size


def test_joined_sets_keep_rows_labels_and_weights(tmp_path):
    plain = TrainSet(Ragged.from_rows([[0, 5, 2]]), np.array([IGNORE_INDEX, 1, IGNORE_INDEX], np.int32))
    weighted = TrainSet(
        Ragged.from_rows([[0, 2], [0, 7, 2]]), np.zeros(5, np.int32), weights=np.full(5, 0.5, np.float32)
    )
    TrainSet.joined([plain, weighted, plain]).save(tmp_path / "data.npz")
    loaded = TrainSet.load(tmp_path / "data.npz")
    assert loaded.ids.lengths.tolist() == [3, 2, 3, 3]
    assert loaded.row_weights.tolist() == [1, 1, 1.5, 1]
    assert [file.name for file in tmp_path.iterdir()] == ["data.npz"]
