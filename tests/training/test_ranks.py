"""What two workers do over gloo is what one does: the same gradients, losses and weights, at the same rate of learning."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.harness.tiny_job import LABELS, Silent, make_job, without_dropout
from xner_ray.config import TrainingConfig
from xner_ray.encoders.load import load_model
from xner_ray.training.data import TrainSet, share_of, steps_of
from xner_ray.training.job import TrainJob
from xner_ray.training.trainer import _step, train

MICRO = 128
STEPS = {  # rows of a step, and the padded tokens of a micro-batch
    "both have work": (list(range(30)), 10_000),
    "both accumulate": (list(range(40)), 64),
    "rows of 20 against rows of 5": ([*range(0, 60, 7), 3], 40),
    "one has nothing to do": ([4], 10_000),
}


class Gloo(Silent):
    """The loop's hooks in two processes without Ray; what is summed over ranks is summed by the hooks that Ray gets."""

    def prepare(self, model):
        return torch.nn.parallel.DistributedDataParallel(model) if self.world > 1 else model

    def total(self, value):
        from xner_ray.training.backends.ray_train import RayHooks

        return RayHooks.total(self, value)  # type: ignore[arg-type]


def gradient(job: TrainJob, hooks: Silent, rows: list[int], micro: int) -> tuple[float, torch.Tensor]:
    """Loss and gradient of one step of a model that is the same on every rank."""
    torch.manual_seed(3)
    raw = load_model(job.start, LABELS).train()
    model = hooks.prepare(raw)
    training = job.training.model_copy(update={"max_micro_batch_tokens": micro})
    scaler, autocast = torch.amp.GradScaler("cpu", enabled=False), torch.autocast("cpu", enabled=False)
    data = TrainSet.load(Path(job.data))
    loss, _ = _step(model, data, np.array(rows), training, hooks, scaler, autocast, torch.device("cpu"))
    return loss, torch.cat([p.grad.flatten() for p in raw.parameters() if p.grad is not None])


def work(rank: int, world: int, job: TrainJob, micro: int) -> dict:
    """All that is compared, on one rank."""
    hooks = Gloo(rank, world)
    found = {name: gradient(job, hooks, *step) for name, step in STEPS.items()}
    job.training = job.training.model_copy(update={"max_micro_batch_tokens": micro})
    model, result = train(job, hooks, device="cpu")
    return {**found, "losses": result.losses, "weights": torch.cat([p.detach().flatten() for p in model.parameters()])}


def in_a_process(rank: int, job: TrainJob, port: int, folder: str) -> None:
    torch.set_num_threads(1)
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.distributed.init_process_group("gloo", rank=rank, world_size=2)
    torch.save(work(rank, 2, job, MICRO), f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.fixture(scope="module")
def both(tiny_encoder, tmp_path_factory):
    """What one worker found, whose micro-batches are half as large, and what each of two found."""
    folder = tmp_path_factory.mktemp("ranks")
    settings = {
        "loss": "reweighted",
        "gamma": 4.0,
        "epochs": 2,
        "tokens_per_step": 2 * MICRO,
        "max_micro_batch_tokens": MICRO,
    }
    job = without_dropout(make_job(tiny_encoder, folder, weights=True, **settings))
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    torch.multiprocessing.spawn(in_a_process, args=(job, port, str(folder)), nprocs=2)
    return work(0, 1, job, MICRO), [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]


@pytest.mark.parametrize("name", STEPS)
def test_a_step_of_two_is_a_step_of_one(both, name):
    (loss, whole), two = both[0][name], [rank[name] for rank in both[1]]
    assert loss > 0.1 and whole.abs().max() > 1e-3
    for theirs, gradients in two:  # on either rank, since both were told the loss of all tokens
        assert theirs == pytest.approx(loss, abs=1e-5)
        assert torch.allclose(gradients, whole, atol=1e-5, rtol=1e-5)


def test_a_training_of_two_is_one_with_twice_the_accumulation(both):
    one, two = both
    for rank in two:
        assert len(rank["losses"]) == len(one["losses"]) > 5
        assert rank["losses"] == pytest.approx(one["losses"], abs=1e-4)
        # The same weights in the end: the same rate in each step, over the same number of steps.
        assert torch.allclose(rank["weights"], one["weights"], atol=1e-4)


@pytest.mark.parametrize("world", [1, 2, 4])
def test_accumulation_follows_the_world(world):
    lengths, training = np.full(256, 16), TrainingConfig(tokens_per_step=1024, max_micro_batch_tokens=256)
    for step in steps_of(lengths, training.tokens_per_step, 1, 0):
        counts = [len(share_of(step, lengths, training.max_micro_batch_tokens, rank, world)) for rank in range(world)]
        assert counts == [4 // world] * world  # a step is 1024 tokens whoever runs it
