"""Two ranks over gloo compute what one does: the same gradients, losses and weights."""

from __future__ import annotations

import os
import socket
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from tests.harness.tiny_job import SilentBackend, make_job, without_dropout
from xner_ray.training.job import TrainJob
from xner_ray.training.trainer import Trainer, train

MICRO_BATCH_TOKENS = 128
STEPS = {  # rows of a step, and the padded tokens of a micro-batch
    "both have rows": (list(range(30)), 10_000),
    "both accumulate": (list(range(40)), 64),
    "rows of 20 tokens against rows of 5": ([*range(0, 60, 7), 3], 40),
    "one has no rows": ([4], 10_000),
}


class GlooBackend(SilentBackend):
    """A backend of two processes without Ray. It sums over ranks with the code of the Ray Train backend."""

    def prepare_model(self, model):
        return torch.nn.parallel.DistributedDataParallel(model) if self.world_size > 1 else model

    def sum_over_ranks(self, value):
        from xner_ray.training.backends.ray_train import RayTrainBackend

        return RayTrainBackend.sum_over_ranks(self, value)  # type: ignore[arg-type]


def with_micro_batches(job: TrainJob, tokens: int) -> TrainJob:
    return replace(job, training=job.training.model_copy(update={"max_micro_batch_tokens": tokens}))


def run_rank(rank: int, world_size: int, job: TrainJob, micro_batch_tokens: int) -> dict[str, Any]:
    """Loss and gradient of each of STEPS, and losses and weights of a whole training, on one rank."""
    backend, results = GlooBackend(rank, world_size), {}
    for name, (rows, tokens) in STEPS.items():
        trainer = Trainer(with_micro_batches(job, tokens), backend, "cpu")
        loss = trainer.forward_backward(np.array(rows))
        gradients = [p.grad.flatten() for p in trainer.model.parameters() if p.grad is not None]
        results[name] = loss, torch.cat(gradients)
    model, result = train(with_micro_batches(job, micro_batch_tokens), backend, device="cpu")
    weights = torch.cat([p.detach().flatten() for p in model.parameters()])
    return {**results, "losses": result.losses, "weights": weights}


def process(rank: int, job: TrainJob, port: int, folder: str) -> None:
    torch.set_num_threads(1)
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.distributed.init_process_group("gloo", rank=rank, world_size=2)
    torch.save(run_rank(rank, 2, job, MICRO_BATCH_TOKENS), f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.fixture(scope="module")
def one_and_two_ranks(tiny_encoder, tmp_path_factory):
    """Results of one rank, and the list of results of two ranks."""
    folder = tmp_path_factory.mktemp("ranks")
    settings = {
        "loss": "reweighted",
        "gamma": 4.0,
        "epochs": 2,
        "tokens_per_step": 2 * MICRO_BATCH_TOKENS,
        "max_micro_batch_tokens": MICRO_BATCH_TOKENS,
    }
    job = without_dropout(make_job(tiny_encoder, folder, weights=True, **settings))
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    torch.multiprocessing.spawn(process, args=(job, port, str(folder)), nprocs=2)
    two = [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]
    return run_rank(0, 1, job, MICRO_BATCH_TOKENS), two


@pytest.mark.parametrize("name", STEPS)
def test_a_step_on_two_ranks_has_the_gradient_of_one(one_and_two_ranks, name):
    one, two = one_and_two_ranks
    loss, gradient = one[name]
    assert loss > 0.1 and gradient.abs().max() > 1e-3
    for rank in two:  # each rank knows the loss of all tokens
        assert rank[name][0] == pytest.approx(loss, abs=1e-5)
        assert torch.allclose(rank[name][1], gradient, atol=1e-5, rtol=1e-5)


def test_a_training_on_two_ranks_ends_as_on_one_with_twice_the_accumulation(one_and_two_ranks):
    one, two = one_and_two_ranks
    for rank in two:
        assert len(rank["losses"]) == len(one["losses"]) > 5
        assert rank["losses"] == pytest.approx(one["losses"], abs=1e-4)
        # Equal weights show the same learning rate in each step.
        assert torch.allclose(rank["weights"], one["weights"], atol=1e-4)
