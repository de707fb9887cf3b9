"""The training loop: plain torch, the same for teacher, aligner and student, on one process or many.

The loss of a step is the sum over its tokens divided by the tokens of the whole step on all workers, so neither padding, nor
accumulation, nor the number of workers changes a gradient. Weights of the loop are float32 with autocast where the device has
it; state is saved as safetensors and goes on at the exact step.
"""

from __future__ import annotations

import contextlib
import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch

from xner_ray.encoders.batching import pad_batch
from xner_ray.encoders.load import load_model
from xner_ray.encoders.ragged import Ragged
from xner_ray.encoders.torch_engine import choose_precision
from xner_ray.training.data import IGNORE_INDEX, TrainSet, share_of, steps_of
from xner_ray.training.dropout import restore_dropout, use_byte_dropout
from xner_ray.training.freezing import freeze, parameter_groups
from xner_ray.training.job import Result, TrainJob
from xner_ray.training.losses import LOSSES, soft_targets

if TYPE_CHECKING:
    from xner_ray.config import TrainingConfig  # needs pydantic, which a GPU box for measurements may lack

Teach = Callable[[dict[str, torch.Tensor], torch.Tensor], torch.Tensor]  # model inputs, labels -> targets


class TrainBackend(Protocol):
    """What the loop needs from around it; Ray Train gives it in a cluster, `LocalBackend` in a process."""

    rank: int
    world: int

    def prepare(self, model: torch.nn.Module) -> torch.nn.Module: ...
    def load(self, job: TrainJob) -> Path | None: ...
    def save(self, job: TrainJob, write: Callable[[Path], None]) -> None: ...
    def due(self) -> bool: ...
    def total(self, value: torch.Tensor) -> torch.Tensor: ...
    def log(self, line: str) -> None: ...


def train(job: TrainJob, hooks: TrainBackend, device: str | None = None) -> tuple[torch.nn.Module, Result]:
    """Train one model and return it, unwrapped, on every rank."""
    where = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    torch.manual_seed(job.seed)
    data, training = TrainSet.load(Path(job.data)), job.training
    if not len(data.ids):
        raise ValueError(f"{job.data} holds no training examples")
    raw = load_model(job.start, job.labels).float().to(where).train()
    freeze(raw, training.freeze_embeddings, training.num_frozen_layers)
    if where.type == "cpu":
        use_byte_dropout(raw, job.seed)
    groups = parameter_groups(raw, training.learning_rate, training.weight_decay, training.layerwise_lr_decay)
    optimizer = torch.optim.AdamW(groups, fused=True)
    model = hooks.prepare(raw)
    dtype = choose_precision(training.precision, where)
    teach = _teacher(job, where, dtype)
    scaler = torch.amp.GradScaler(where.type, enabled=dtype == torch.float16)
    steps = [
        s for e in range(training.epochs) for s in steps_of(data.ids.lengths, training.tokens_per_step, job.seed, e)
    ]
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda n: _rate(n, len(steps), training.warmup_ratio))
    done, result = 0, Result()
    state = hooks.load(job)
    if state is not None:
        done, result = _restore(state, raw, optimizer, schedule, scaler)
        if hooks.rank == 0:
            many = f"{hooks.world} worker{'s'[: hooks.world > 1]}"
            hooks.log(f"[{job.name}] goes on at step {done}/{len(steps)} on {many}")
    said = time.monotonic()
    began = said - result.seconds
    for n in range(done, len(steps)):
        autocast = torch.autocast(where.type, dtype, enabled=dtype != torch.float32)
        loss, tokens = _step(model, data, steps[n], training, hooks, scaler, autocast, where, teach)
        scaler.unscale_(optimizer)
        torch.nn.utils.clip_grad_norm_([p for p in raw.parameters() if p.requires_grad], training.max_grad_norm)
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad(set_to_none=True)
        schedule.step()
        result.losses.append(loss)
        result.tokens += tokens
        now = time.monotonic()
        result.seconds = now - began
        if hooks.rank == 0 and (now - said > 10 or n + 1 == len(steps)):
            said = now
            hooks.log(_line(job.name, n + 1, len(steps), training.epochs, result))
        if n + 1 < len(steps) and hooks.due():
            hooks.save(job, lambda folder, n=n: _store(folder, n + 1, raw, optimizer, schedule, scaler, result))  # type: ignore[misc]
    restore_dropout(raw)
    return raw.eval(), result


def _step(
    model,
    data: TrainSet,
    step,
    training: TrainingConfig,
    hooks: TrainBackend,
    scaler,
    autocast,
    where,
    teach: Teach | None = None,
) -> tuple[float, int]:
    """Forward and backward of one step; its mean loss a token over all ranks, and its tokens."""
    lengths = data.ids.lengths
    total = max(1e-9, float(data.row_weights[step].sum()))
    mine = share_of(step, lengths, training.max_micro_batch_tokens, hooks.rank, hooks.world)
    seen, tokens = torch.zeros((), device=where), int(lengths[step].sum())
    # A rank without work still takes part in the exchange of gradients, with a loss of 0.
    batches = mine or [step[:1]]
    for i, batch in enumerate(batches):
        last = i == len(batches) - 1
        sync = contextlib.nullcontext() if last or not hasattr(model, "no_sync") else model.no_sync()
        with sync:
            with autocast:
                logits, labels, weights = _forward(model, data, batch, where, teach)
            loss = (LOSSES[training.loss](logits, labels, training.gamma) * weights).sum() / total
            if not mine:
                loss = loss * 0.0
            # DistributedDataParallel averages gradients over ranks; we want their sum.
            scaler.scale(loss * hooks.world).backward()
        seen += loss.detach()
    return float(hooks.total(seen)), tokens


def _teacher(job: TrainJob, where: torch.device, dtype: torch.dtype) -> Teach | None:
    """What mixes a teacher's answers into the labels of a micro-batch, if there is one.

    It answers beside the training, on the same padded rows: a forward pass, a third of a step's work, instead of an array of
    tokens x labels that every worker would read and a stage of its own to write it.
    """
    if job.distill_from is None:
        return None
    model = load_model(job.distill_from).eval().to(where, dtype)

    @torch.no_grad()
    def teach(inputs: dict[str, torch.Tensor], labels: torch.Tensor) -> torch.Tensor:
        return soft_targets(labels, model(**inputs).logits, job.distill_weight)

    return teach


def _forward(model, data: TrainSet, batch: np.ndarray, where: torch.device, teach: Teach | None = None):
    """Logits [rows, longest, labels], what the loss compares them with, and its weights [rows, longest] of a micro-batch."""
    config = getattr(model, "module", model).config

    def rectangle(values: np.ndarray, filler: float) -> torch.Tensor:
        return torch.from_numpy(pad_batch(Ragged(values, data.ids.offsets), batch, filler)[0]).to(where)

    ids, mask = pad_batch(data.ids, batch, config.pad_token_id or 0)
    inputs: dict[str, Any] = {
        "input_ids": torch.from_numpy(ids).to(where),
        "attention_mask": torch.from_numpy(mask.astype(np.int64)).to(where),
    }
    if data.types is not None and getattr(config, "type_vocab_size", 1) > 1:
        inputs["token_type_ids"] = rectangle(data.types, 0)
    weights = torch.ones(()) if data.weights is None else rectangle(data.weights, 0.0)
    labels = rectangle(data.labels, IGNORE_INDEX)
    return model(**inputs).logits, labels if teach is None else teach(inputs, labels), weights.to(where)


def _rate(step: int, steps: int, warmup: float) -> float:
    """Linear warm-up over the first share of the steps, then linear to 0."""
    up = max(1, math.ceil(steps * warmup))
    return (step + 1) / up if step < up else max(0.0, (steps - step) / max(1, steps - up))


def _line(name: str, n: int, steps: int, epochs: int, result: Result) -> str:
    recent = sum(result.losses[-50:]) / len(result.losses[-50:])
    left = result.seconds / n * (steps - n)
    return (
        f"[{name}] step {n}/{steps} of {epochs} epoch{'s'[: epochs > 1]}, loss {recent:.4f}, "
        f"{result.tokens / max(result.seconds, 1e-9):,.0f} tokens/s, {left / 60:.1f} min left"
    )


def _store(folder: Path, step: int, model, optimizer, schedule, scaler, result: Result) -> None:
    """Weights that are trained and the optimizer's moments, as safetensors; counters and the result so far as JSON."""
    from safetensors.torch import save_file

    tensors = {f"model.{k}": v.detach().contiguous().clone() for k, v in model.named_parameters() if v.requires_grad}
    for i, parameter in enumerate(_parameters(optimizer)):
        for key, value in optimizer.state[parameter].items():
            tensors[f"optimizer.{i}.{key}"] = value.detach().contiguous().clone().cpu()
    save_file(tensors, folder / "state.safetensors")
    counters = {"step": step, "schedule": schedule.last_epoch, "scaler": scaler.state_dict(), "result": asdict(result)}
    (folder / "state.json").write_text(json.dumps(counters))


def _restore(folder: Path, model, optimizer, schedule, scaler) -> tuple[int, Result]:
    from safetensors.torch import load_file

    tensors = load_file(folder / "state.safetensors")
    counters = json.loads((folder / "state.json").read_text())
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                parameter.copy_(tensors[f"model.{name}"])
    for i, parameter in enumerate(_parameters(optimizer)):
        for key in ("step", "exp_avg", "exp_avg_sq"):
            value = tensors[f"optimizer.{i}.{key}"]
            optimizer.state[parameter][key] = value.to(parameter.device) if key != "step" else value
    schedule.last_epoch = counters["schedule"]
    for group, base, factor in zip(optimizer.param_groups, schedule.base_lrs, schedule.lr_lambdas, strict=True):
        group["lr"] = base * factor(counters["schedule"])
    if counters["scaler"]:
        scaler.load_state_dict(counters["scaler"])
    return counters["step"], Result(**counters["result"])


def _parameters(optimizer) -> Iterator[torch.nn.Parameter]:
    for group in optimizer.param_groups:
        yield from group["params"]
