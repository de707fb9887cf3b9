"""The loop learns, accumulates gradients exactly, and continues where it stopped."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.harness.tiny_job import SilentBackend, make_job, without_dropout
from xner_ray.encoders.load import save_tokenizer
from xner_ray.encoders.ragged import Ragged
from xner_ray.encoders.torch_engine import TorchEngine
from xner_ray.errors import UserError
from xner_ray.training.checkpoint import TrainState
from xner_ray.training.data import IGNORE_INDEX, TEACHER_ONLY_INDEX, TrainSet
from xner_ray.training.job import Result
from xner_ray.training.optimizer import build_optimizer
from xner_ray.training.trainer import Trainer, train


@pytest.fixture
def job(tiny_encoder, tmp_path):
    return make_job(tiny_encoder, tmp_path)


class InterruptedBackend(SilentBackend):
    """Raises KeyboardInterrupt after a checkpoint."""

    def __init__(self, checkpoint_step: int):
        super().__init__()
        self.checkpoint_step, self.steps = checkpoint_step, 0

    def checkpoint_due(self):
        self.steps += 1
        return self.steps == self.checkpoint_step

    def save_checkpoint(self, job, write):
        super().save_checkpoint(job, write)
        raise KeyboardInterrupt


def test_the_loss_falls(job):
    _, result = train(job, SilentBackend(), device="cpu")
    assert np.mean(result.losses[-5:]) < 0.5 * np.mean(result.losses[:3])


def test_a_resumed_training_with_dropout_ends_as_an_uninterrupted_one(job):
    job.training = job.training.model_copy(update={"epochs": 2})
    whole, uninterrupted = train(job, SilentBackend(), device="cpu")
    with pytest.raises(KeyboardInterrupt):
        train(job, InterruptedBackend(5), device="cpu")
    resumed, result = train(job, SilentBackend(), device="cpu")
    assert result.losses == pytest.approx(uninterrupted.losses, abs=1e-5)
    assert result.tokens == uninterrupted.tokens and result.seconds > 0
    for (name, a), b in zip(whole.named_parameters(), resumed.parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-5), name


def test_ranks_draw_different_dropout_masks(job):
    def loss(rank: int) -> float:
        trainer = Trainer(job, SilentBackend(rank, 2), device="cpu")
        trainer.backend.rank = 0  # the same rows, with the random numbers of the rank
        return trainer.forward_backward(np.arange(8))

    assert loss(0) == loss(0) and loss(1) == loss(1) and loss(0) != loss(1)


def test_every_tensor_of_a_loaded_optimizer_is_where_its_parameter_is(job, tmp_path):
    trainer = Trainer(job, SilentBackend(), device="cpu")
    trainer.forward_backward(np.arange(8))
    trainer.optimizer.step()
    TrainState(trainer.model, trainer.optimizer, trainer.schedule, trainer.scaler, trainer.random, Result()).save(
        tmp_path
    )
    model = Trainer(job, SilentBackend(), device="cpu").model.to("meta")  # stands for a GPU
    optimizer, schedule = build_optimizer(model, job.training, 10)
    TrainState(model, optimizer, schedule, trainer.scaler, trainer.random, Result()).load(tmp_path)
    states = [value for state in optimizer.state.values() for value in state.values()]
    assert states and {value.device.type for value in states} == {"meta"}


def test_a_teacher_sets_the_targets_of_tokens_without_a_label(job):
    """A student without labels tags as its teacher does. With labels its probabilities lie between both."""
    teacher_folder = Path(job.out).with_name("teacher")
    teacher, _ = train(job, SilentBackend(), device="cpu")
    teacher.save_pretrained(teacher_folder)
    save_tokenizer(job.start, teacher_folder)
    data, folder = TrainSet.load(Path(job.data)), Path(job.data).parent
    labeled = data.labels >= 0

    def student(name: str, label: int) -> np.ndarray:
        """Probabilities [tokens, labels] of a student that has this label on each labeled token."""
        labels = np.where(labeled, label, IGNORE_INDEX).astype(np.int32)
        TrainSet(data.ids, labels).save(folder / name)
        distilled = replace(job, data=str(folder / name), distill_from=str(teacher_folder), distill_weight=0.2)
        model, _ = train(distilled, SilentBackend(), device="cpu")
        return TorchEngine(model, precision="fp32", device="cpu").probabilities(data.ids)[labeled]

    of_teacher = TorchEngine(teacher, precision="fp32", device="cpu").probabilities(data.ids)[labeled]
    without_labels = student("teacher_only.npz", TEACHER_ONLY_INDEX)
    assert (without_labels.argmax(1) == of_teacher.argmax(1)).mean() > 0.95
    with_labels = student("other_label.npz", 2)  # a label that the teacher never predicts
    assert (with_labels.argmax(1) == 2).all()
    assert 0.7 < with_labels[:, 2].mean() < 0.9


def test_accumulation_and_ranks_do_not_change_the_gradient(job):
    job, rows = without_dropout(job), np.arange(30)

    def gradient(micro_batch_tokens: int, ranks: int) -> torch.Tensor:
        training = job.training.model_copy(update={"max_micro_batch_tokens": micro_batch_tokens})
        total: list[torch.Tensor] = []
        for rank in range(ranks):
            trainer = Trainer(replace(job, training=training), SilentBackend(rank, ranks), "cpu")
            trainer.forward_backward(rows)
            # The trainer multiplies by the world size, because DistributedDataParallel averages.
            of_rank = [p.grad / ranks for p in trainer.model.parameters() if p.grad is not None]
            total = [a + b for a, b in zip(total, of_rank, strict=True)] if total else of_rank
        return torch.cat([gradient.flatten() for gradient in total])

    whole = gradient(10_000, 1)
    assert whole.abs().sum() > 0
    assert torch.allclose(gradient(64, 1), whole, atol=1e-6)
    assert torch.allclose(gradient(10_000, 2), whole, atol=1e-6)


def test_data_without_rows_are_an_error(job, tmp_path):
    TrainSet(Ragged.from_rows([]), np.zeros(0, np.int32)).save(tmp_path / "data.npz")
    with pytest.raises(ValueError, match="no training examples"):
        train(job, SilentBackend(), device="cpu")


@pytest.mark.parametrize("damage", ["weights", "learning_rate"])
def test_a_training_that_diverges_is_an_error(job, damage):
    trainer = Trainer(job, SilentBackend(), device="cpu")
    if damage == "weights":
        with torch.no_grad():
            next(p for p in trainer.model.parameters() if p.requires_grad).fill_(float("nan"))
    else:
        for group in trainer.optimizer.param_groups:
            group["lr"] = 1e38
        trainer.schedule.base_lrs = [1e38 for _ in trainer.schedule.base_lrs]
    with pytest.raises(UserError, match="not finite at step") as e:
        trainer.train()
    assert e.value.key == "training.learning_rate" and "precision" in e.value.remedy and not Path(job.out).exists()


def test_exhausted_memory_names_a_remedy_that_works(job, monkeypatch):
    """The memory of this device holds `room` padded tokens."""
    room = 40

    def forward_of(model):
        run = model.forward

        def forward(input_ids, **inputs):
            if input_ids.numel() > room:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
            return run(input_ids=input_ids, **inputs)

        return forward

    def limited(job):
        trainer = Trainer(job, SilentBackend(), device="cpu")
        monkeypatch.setattr(trainer.model, "forward", forward_of(trainer.model))
        return trainer

    job = replace(job, section="aligner.training", training=job.training.model_copy(update={"epochs": 1}))
    with pytest.raises(UserError, match="exhausts the memory") as e:
        limited(job).train()
    assert e.value.key == "aligner.training.max_micro_batch_tokens"
    for _ in range(3):
        with pytest.raises(UserError) as e:
            limited(job).train()
        key, value = re.match(r"set (\S+)=(\d+);", e.value.remedy).groups()
        assert key == e.value.key
        job.training = job.training.model_copy(update={"max_micro_batch_tokens": int(value)})
        if int(value) <= room:
            break
    limited(job).train()
    room = 2  # not enough for one row
    with pytest.raises(UserError) as e:
        limited(job).train()
    while e.value.key.endswith("max_micro_batch_tokens"):
        value = int(re.match(r"set \S+=(\d+);", e.value.remedy)[1])
        job.training = job.training.model_copy(update={"max_micro_batch_tokens": value})
        with pytest.raises(UserError) as e:
            limited(job).train()
    assert "num_frozen_layers" in e.value.key and "freeze_embeddings" in e.value.remedy


@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."), RuntimeError("CUDA error: out of memory"),
     RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")],
)  # fmt: skip
def test_a_model_that_does_not_fit_is_explained(job, monkeypatch, error):
    def fail(*_):
        raise error

    monkeypatch.setattr("xner_ray.training.trainer.build_optimizer", fail)
    with pytest.raises(UserError, match="exhausts the memory") as e:
        train(replace(job, section="teacher.training"), SilentBackend(), "cpu")
    assert e.value.key == "teacher.training.num_frozen_layers" and "GPU" in e.value.remedy
    error = RuntimeError("CUDA error: device-side assert triggered")
    with pytest.raises(RuntimeError, match="assert"):
        train(job, SilentBackend(), "cpu")


def test_a_very_high_learning_rate_alone_is_no_error(job):
    job.training = job.training.model_copy(update={"learning_rate": 0.5})
    _, result = train(job, SilentBackend(), device="cpu")
    assert np.isfinite(result.losses).all()
