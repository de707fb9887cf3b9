"""Two workers on two nodes with a GPU each train as one worker does. The GPUs are fake, so they train on CPUs, over Gloo."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.harness.group_training import Training, another_node, same_end, undisturbed, wait_for_nodes, workers_of
from tests.harness.null_runs import ray_head

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def test_a_group_on_two_nodes_with_gpus_trains_as_one_worker_and_resumes(tiny_encoder, tmp_path):
    job, expected = undisturbed(tiny_encoder, tmp_path, epochs=10)
    with ray_head(1, "--num-gpus=1") as head, another_node(head, "--num-cpus=1", "--num-gpus=1") as node:
        wait_for_nodes(head, 2)
        noted = tmp_path / "noted"
        training = Training([job], tmp_path, head, resources={"workers": 2}, checkpoint_seconds=2.0, noted=str(noted))
        training.wait(training.checkpoints, 240)
        first, second = workers_of(head.pid), workers_of(node)
        assert len(first) == len(second) == 1
        notes = [json.loads((noted / f"{worker.pid}.json").read_text()) for worker in (*first, *second)]
        second[0].kill()
        (losses,) = training.losses()
    assert {note["rank"] for note in notes} == {0, 1} and {note["group"] for note in notes} == {"gloo"}
    assert all(a != b for a, b in zip(*(note["numbers"] for note in notes), strict=True))  # masks differ by rank
    assert len(losses) == len(expected) and losses[:20] == pytest.approx(expected[:20], abs=1e-3)
    ((step, workers),) = training.resumed()
    assert step > 0 and workers == 2
    assert same_end(losses, expected) and np.mean(losses[-50:]) < 0.5 * np.mean(losses[:20])
    assert "torch finds none" in training.log.read_text()
