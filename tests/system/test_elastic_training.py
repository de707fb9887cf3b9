"""Trainings lose a worker of Ray Train or a task, or gain a worker. Each ends like an undisturbed training."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.harness.group_training import Training, another_node, same_end, undisturbed, workers_of
from tests.harness.null_runs import ray_head
from xner_ray.encoders.load import load_model

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def epochs_for(seconds: float, encoder: Path, folder: Path) -> int:
    """The number of epochs that one process trains in `seconds`.

    Machines differ by a factor of four in training speed, but a new node starts equally fast on all of them.
    """
    undisturbed(encoder, folder, epochs=1)
    started = time.monotonic()
    undisturbed(encoder, folder, epochs=4)
    return min(max(20, int(seconds / (time.monotonic() - started) * 4)), 120)


def test_training_resumes_after_a_killed_worker(tiny_encoder, tmp_path):
    job, expected = undisturbed(tiny_encoder, tmp_path, epochs=30)
    with ray_head(cpus=2) as head:
        training = Training([job], tmp_path, head, resources={"workers": 2}, checkpoint_seconds=2.0)
        training.wait(training.checkpoints)
        two = workers_of(head.pid)
        assert len(two) == 2
        two[-1].kill()
        (losses,) = training.losses()
    assert len(losses) == len(expected) and losses[:20] == pytest.approx(expected[:20], abs=1e-3)
    ((step, workers),) = training.resumed()
    assert step > 0 and workers == 2
    assert same_end(losses, expected) and np.mean(losses[-50:]) < 0.5 * np.mean(losses[:20])
    assert len(training.checkpoints()) == 1  # old checkpoints are deleted
    print(
        f"\nwent on at step {step} of {len(losses)}; last losses {np.mean(losses[-50:]):.4f}, {np.mean(expected[-50:]):.4f}"
    )


def test_group_grows_when_a_node_joins(tiny_encoder, tmp_path):
    # A node and its worker need 20 to 45 seconds to start. Meanwhile the first worker goes on.
    job, expected = undisturbed(tiny_encoder, tmp_path, epochs=epochs_for(40, tiny_encoder, tmp_path))
    with ray_head(cpus=1) as head:
        resources = {"workers": 2, "min_workers": 1}
        training = Training([job], tmp_path, head, resources=resources, checkpoint_seconds=1.0)
        training.wait(training.checkpoints)
        assert len(workers_of(head.pid)) == 1
        start = time.monotonic()
        with another_node(head):
            training.wait(training.resumed)
            grown = time.monotonic() - start
            (losses,) = training.losses()
    (step, workers), *more = training.resumed()
    assert step > 0 and workers == 2 and not more
    assert len(losses) == len(expected) and same_end(losses, expected)
    print(
        f"\n2 workers {grown:.0f} s after the node was started, from step {step} of {len(losses)}; last losses"
        f" {np.mean(losses[-50:]):.4f}, {np.mean(expected[-50:]):.4f}"
    )


def test_parallel_trainings_survive_a_killed_task(tiny_encoder, tmp_path):
    """Three models train on two CPUs, in two tasks. The largest model has a task of its own. Each ends as it does alone."""
    big, expected = undisturbed(tiny_encoder, tmp_path, epochs=40)
    short = replace(big, name="short", training=big.training.model_copy(update={"epochs": 2}))
    jobs = [short, replace(big, name="big"), replace(short, name="shorter")]
    with ray_head(cpus=2) as head:
        training = Training(jobs, tmp_path, head, checkpoint_seconds=1.0)
        checkpoint = Path(f"{training.outs[1]}.checkpoint") / "state.json"
        training.wait(
            lambda: checkpoint.exists() and all((training.outs[i] / "training.json").exists() for i in (0, 2))
        )
        # The process of the other task has finished.
        training.wait(lambda: len(workers_of(head.pid, "ray::train:")) == 1)
        workers_of(head.pid, "ray::train:")[0].kill()
        first, losses, last = training.losses()
    assert losses[:20] == pytest.approx(expected[:20], abs=1e-3) and len(losses) == len(expected)
    assert same_end(losses, expected) and first == last and len(first) * 20 == len(losses)
    ((step, workers),) = training.resumed()
    assert step > 0 and workers == 1 and "its process died; try 2 of 4" in training.log.read_text()
    assert not checkpoint.parent.exists()
    weights = [load_model(out).state_dict() for out in training.outs]
    assert all(torch.equal(weights[0][name], weights[2][name]) for name in weights[0])
    assert any(not torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
