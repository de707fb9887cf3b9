"""The training loop: plain torch, the same for teacher, aligner and student, in one process or many.

The loss of a step is the sum over its tokens divided by the tokens of the whole step on all ranks. So neither padding, nor
gradient accumulation, nor the number of ranks changes a gradient. Weights are float32, with autocast where the device supports
it. A training that was interrupted continues at the step of its last checkpoint.
"""

from __future__ import annotations

import contextlib
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from xner_ray.encoders.load import load_model
from xner_ray.encoders.torch_engine import choose_precision
from xner_ray.errors import UserError
from xner_ray.training.backends.base import TrainBackend
from xner_ray.training.batches import Batch, make_batch
from xner_ray.training.checkpoint import TrainState
from xner_ray.training.data import TrainSet, micro_batches_for_rank, plan_epoch
from xner_ray.training.dropout import restore_dropout, use_byte_dropout
from xner_ray.training.freezing import freeze
from xner_ray.training.head_bias import start_at_frequencies
from xner_ray.training.job import Result, TrainJob
from xner_ray.training.losses import LOSSES, soft_targets
from xner_ray.training.memory import explained_memory
from xner_ray.training.optimizer import build_optimizer
from xner_ray.training.random_state import RandomState

LOG_SECONDS = 10.0  # between progress lines


def train(job: TrainJob, backend: TrainBackend, device: str | None = None) -> tuple[torch.nn.Module, Result]:
    """Train one model and return it, unwrapped, on every rank.

    Args:
        job: the model to train.
        backend: ranks, checkpoints and progress lines.
        device: default: a GPU where there is one.

    Raises:
        ValueError: the training data has no rows.
        UserError: `num_frozen_layers` is more than the model has, the loss or the gradient is not finite, or the memory of the
            device is exhausted.
    """
    with explained_memory(job):
        return Trainer(job, backend, device).train()


class Trainer:
    """Model, optimizer and data of one training; `train` is the loop.

    Args: see `train`.
    """

    def __init__(self, job: TrainJob, backend: TrainBackend, device: str | None = None):
        self.job, self.backend, training = job, backend, job.training
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.manual_seed(job.seed)
        self.data = TrainSet.load(Path(job.data))
        if not len(self.data.ids):
            raise ValueError(f"{job.data} holds no training examples")
        lengths = self.data.ids.lengths
        batch = training.tokens_per_step, job.seed
        epochs = [plan_epoch(lengths, *batch, n, training.sequences_per_step) for n in range(training.epochs)]
        self.steps = [step for epoch in epochs for step in epoch]

        self.model = load_model(job.start, job.labels).float().to(self.device).train()
        if training.head_bias == "frequencies":
            start_at_frequencies(self.model, self.data)
        freeze(self.model, training.freeze_embeddings, training.num_frozen_layers)
        self.random = RandomState(job.seed, backend.rank, self.device)
        if self.device.type == "cpu":
            use_byte_dropout(self.model, self.random.numpy)
        self.optimizer, self.schedule = build_optimizer(self.model, training, len(self.steps))
        self.dtype = choose_precision(training.precision, self.device)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.dtype == torch.float16)
        self.wrapped: Any = backend.prepare_model(self.model)
        self.teacher = None
        if job.distill_from is not None:
            self.teacher = load_model(job.distill_from).eval().to(self.device, self.dtype)

    def train(self) -> tuple[torch.nn.Module, Result]:
        """Run the steps that no checkpoint has yet; returns the trained model and the result of the whole training."""
        job, backend, num_steps = self.job, self.backend, len(self.steps)
        state = TrainState(self.model, self.optimizer, self.schedule, self.scaler, self.random, Result())
        checkpoint = backend.load_checkpoint(job)
        if checkpoint is not None:
            state.load(checkpoint)
            workers = f"{backend.world_size} worker{'s'[: backend.world_size > 1]}"
            self._log(f"continues at step {state.result.steps}/{num_steps} on {workers}")
        result, logged = state.result, time.monotonic()
        began = logged - result.seconds
        for n in range(result.steps, num_steps):
            with explained_memory(job, int(self.data.ids.lengths.max())):
                loss = self.forward_backward(self.steps[n])
            self.scaler.unscale_(self.optimizer)
            trained = [p for p in self.model.parameters() if p.requires_grad]
            norm = torch.nn.utils.clip_grad_norm_(trained, job.training.max_grad_norm)
            self._check_finite(n + 1, loss, norm)
            self.scaler.step(self.optimizer)
            self.scaler.update()
            self.optimizer.zero_grad(set_to_none=True)
            self.schedule.step()
            result.losses.append(loss)
            result.tokens += int(self.data.ids.lengths[self.steps[n]].sum())
            now, is_last = time.monotonic(), n + 1 == num_steps
            result.seconds = now - began
            if now - logged > LOG_SECONDS or is_last:
                logged = now
                self._log(progress_line(result, num_steps, job.training.epochs))
            if not is_last and backend.checkpoint_due():
                backend.save_checkpoint(job, state.save)
        restore_dropout(self.model)
        return self.model.eval(), result

    def forward_backward(self, step: np.ndarray) -> float:
        """Add the gradients of this rank's part of a step; returns the step's mean loss per token over all ranks.

        Args:
            step: int [rows], row numbers of the step on all ranks.
        """
        training, backend = self.job.training, self.backend
        total_weight = max(1e-9, float(self.data.row_weights[step].sum()))
        mine = micro_batches_for_rank(
            step, self.data.ids.lengths, training.max_micro_batch_tokens, backend.rank, backend.world_size
        )
        loss_sum = torch.zeros((), device=self.device)
        # A rank without rows still takes part in the exchange of gradients, with a loss of 0.
        micro_batches = mine or [step[:1]]
        for i, rows in enumerate(micro_batches):
            batch = make_batch(self.data, rows, self.model.config, self.device)
            exchange = i == len(micro_batches) - 1 or not hasattr(self.wrapped, "no_sync")
            with contextlib.nullcontext() if exchange else self.wrapped.no_sync():
                with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
                    logits = self.wrapped(**batch.inputs).logits
                    targets = self._targets(batch)
                token_losses = LOSSES[training.loss](logits, targets, training.gamma)
                loss = (token_losses * batch.weights).sum() / total_weight
                if not mine:
                    loss = loss * 0.0
                # DistributedDataParallel averages gradients over ranks; their sum is needed.
                self.scaler.scale(loss * backend.world_size).backward()
            loss_sum += loss.detach()
        return float(backend.sum_over_ranks(loss_sum))

    @torch.no_grad()
    def _targets(self, batch: Batch) -> torch.Tensor:
        """The labels or, with a teacher, distributions; its forward pass costs a third of a step and needs no file of answers."""
        if self.teacher is None:
            return batch.labels
        return soft_targets(batch.labels, self.teacher(**batch.inputs).logits, self.job.distill_weight)

    def _check_finite(self, step: int, loss: float, norm: torch.Tensor) -> None:
        """Stop before weights become NaN. GradScaler skips steps with infinite gradients of fp16, so these are no error."""
        if math.isfinite(loss) and (self.scaler.is_enabled() or bool(torch.isfinite(norm))):
            return
        problem = f"the training of `{self.job.name}` diverged: its loss or gradient is not finite at step {step}"
        remedy = "lower learning_rate, raise warmup_ratio, or set precision to fp32"
        raise UserError(problem, file=self.job.out, key=f"{self.job.section}.learning_rate", remedy=remedy)

    def _log(self, line: str) -> None:
        if self.backend.rank == 0:
            self.backend.log(f"[{self.job.name}] {line}")


def progress_line(result: Result, num_steps: int, epochs: int) -> str:
    """Step, mean loss of the last 50 steps, speed and remaining time."""
    recent = result.losses[-50:]
    seconds_left = result.seconds / result.steps * (num_steps - result.steps)
    return (
        f"step {result.steps}/{num_steps} of {epochs} epoch{'s'[: epochs > 1]}, loss {sum(recent) / len(recent):.4f}, "
        f"{result.tokens / max(result.seconds, 1e-9):,.0f} tokens/s, {seconds_left / 60:.1f} min left"
    )
