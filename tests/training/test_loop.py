"""The loop learns, is indifferent to accumulation and world size, and goes on where it stopped."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.harness.tiny_job import LABELS, Silent, make_job, without_dropout
from xner_ray.encoders.load import load_model
from xner_ray.encoders.ragged import Ragged
from xner_ray.encoders.torch_engine import TorchEngine
from xner_ray.errors import UserError
from xner_ray.training.data import IGNORE_INDEX, TEACHER_ONLY_INDEX, TrainSet, share_of, steps_of
from xner_ray.training.freezing import freeze, parameter_groups
from xner_ray.training.trainer import train


@given(st.lists(st.integers(1, 40), min_size=1, max_size=80), st.integers(20, 200), st.integers(0, 3))
def test_each_epoch_has_every_row_once(lengths, tokens, epoch):
    steps = steps_of(np.array(lengths), tokens, 1, epoch)
    assert sorted(np.concatenate(steps).tolist()) == list(range(len(lengths)))
    again = steps_of(np.array(lengths), tokens, 1, epoch)
    assert all((a == b).all() for a, b in zip(steps, again, strict=True))


@given(st.lists(st.integers(1, 40), min_size=1, max_size=40), st.integers(1, 4), st.integers(10, 200))
def test_ranks_share_a_step(lengths, world, micro):
    step, lengths = np.arange(len(lengths)), np.array(lengths)
    shares = [share_of(step, lengths, micro, rank, world) for rank in range(world)]
    rows = [row for share in shares for batch in share for row in batch.tolist()]
    assert sorted(rows) == step.tolist()


@pytest.fixture
def job(tiny_encoder, tmp_path):
    return make_job(tiny_encoder, tmp_path)


class Stops(Silent):
    """Ends the process, so to speak, after a checkpoint."""

    def __init__(self, after: int):
        super().__init__()
        self.after, self.calls = after, 0

    def due(self):
        self.calls += 1
        return self.calls == self.after

    def save(self, job, write):
        super().save(job, write)
        raise KeyboardInterrupt


def test_it_learns(job):
    _, result = train(job, Silent(), device="cpu")
    assert np.mean(result.losses[-5:]) < 0.5 * np.mean(result.losses[:3])


def test_it_goes_on_where_it_stopped(job):
    job.training = job.training.model_copy(update={"epochs": 2})
    torch.manual_seed(0)
    whole, undisturbed = train(without_dropout(job), Silent(), device="cpu")
    with pytest.raises(KeyboardInterrupt):
        train(job, Stops(5), device="cpu")
    resumed, result = train(job, Silent(), device="cpu")
    assert result.losses == pytest.approx(undisturbed.losses, abs=1e-5)
    assert result.tokens == undisturbed.tokens and result.seconds > 0
    for (name, a), b in zip(whole.named_parameters(), resumed.parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-5), name


def test_a_teacher_answers_where_there_is_no_label(job):
    """A student of nothing but the teacher's answers tags as the teacher does, and the mixture lies between both."""
    teacher = Path(job.out).with_name("teacher")
    model, _ = train(job, Silent(), device="cpu")
    model.save_pretrained(teacher)
    data, of = TrainSet.load(Path(job.data)), job.data
    other = np.where(data.labels >= 0, 2, data.labels).astype(np.int32)  # what the teacher never says
    told = {}
    for name, labels in {
        "alone": np.where(data.labels >= 0, TEACHER_ONLY_INDEX, IGNORE_INDEX),
        "against": other,
    }.items():
        job.data = str(Path(of).with_name(f"{name}.npz"))
        TrainSet(data.ids, labels.astype(np.int32)).save(Path(job.data))
        trained, _ = train(replace(job, distill_from=str(teacher), distill_weight=0.2), Silent(), device="cpu")
        engine = TorchEngine(trained, precision="fp32", device="cpu")
        told[name] = engine.probabilities(data.ids)[data.labels >= 0]
    wanted = TorchEngine(model, precision="fp32", device="cpu").probabilities(data.ids)[data.labels >= 0]
    assert (told["alone"].argmax(1) == wanted.argmax(1)).mean() > 0.95
    assert (told["against"].argmax(1) == 2).all()
    assert 0.7 < told["against"][:, 2].mean() < 0.9


def test_accumulation_does_not_change_the_gradient(job):
    from xner_ray.training.trainer import _step

    job = without_dropout(job)
    torch.manual_seed(3)
    model = load_model(job.start, LABELS).train()
    data = TrainSet.load(Path(job.data))
    step = np.arange(30)
    scaler, autocast = torch.amp.GradScaler("cpu", enabled=False), torch.autocast("cpu", enabled=False)

    def gradients(micro, ranks):
        total = None
        for rank in range(ranks):
            model.zero_grad()
            training = job.training.model_copy(update={"max_micro_batch_tokens": micro})
            _step(model, data, step, training, Silent(rank, ranks), scaler, autocast, torch.device("cpu"))
            # Each rank scales by the world size because DistributedDataParallel averages; so do we.
            mine = [p.grad / ranks for p in model.parameters() if p.grad is not None]
            total = mine if total is None else [a + b for a, b in zip(total, mine, strict=True)]
        return torch.cat([g.flatten() for g in total])

    whole = gradients(10_000, 1)
    assert whole.abs().sum() > 0
    assert torch.allclose(gradients(64, 1), whole, atol=1e-6)
    assert torch.allclose(gradients(10_000, 2), whole, atol=1e-6)


def test_freezing(tiny_encoder):
    model = load_model(tiny_encoder, LABELS)
    freeze(model, embeddings=True, layers=1)
    trained = {n for n, p in model.named_parameters() if p.requires_grad}
    assert not any("embeddings" in n or "layer.0." in n for n in trained)
    assert any("layer.1." in n for n in trained)
    with pytest.raises(UserError, match="2 layers"):
        freeze(model, embeddings=True, layers=3)


def test_layer_decay(tiny_encoder):
    model = load_model(tiny_encoder, LABELS)
    rates = {g["lr"] for g in parameter_groups(model, 1e-3, 0.01, 0.5)}
    assert rates == {1e-3, 5e-4, 2.5e-4}  # head and embeddings, upper layer, lower layer


def test_an_empty_set_is_refused(job, tmp_path):
    TrainSet(Ragged.from_rows([]), np.zeros(0, np.int32)).save(tmp_path / "data.npz")
    with pytest.raises(ValueError, match="no training examples"):
        train(job, Silent(), device="cpu")
