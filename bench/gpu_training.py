"""The training part of `gpu.py`: the package's training loop with a model of `gpu_shape.py`."""

from __future__ import annotations

import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from bench.gpu_shape import SHAPES, Classifier
from bench.gpu_sides import TYPES, Text
from bench.rounds import interleaved, rate, ratio
from bench.training import bare_side, loop_side
from xner_ray.training import trainer
from xner_ray.training.data import IGNORE_INDEX, TrainSet

DEFAULTS = {  # the defaults of config.TrainingConfig, which needs pydantic
    "epochs": 1, "learning_rate": 2e-5, "warmup_ratio": 0.1, "weight_decay": 0.01, "loss": "cross_entropy", "gamma": 2.0,
    "freeze_embeddings": True, "num_frozen_layers": 0, "layerwise_lr_decay": 1.0, "max_grad_norm": 1.0,
}  # fmt: skip


def compare(shape: str, precision: str, device: str, text: Text, rounds: int, small: bool) -> dict[str, Any]:
    """Tokens per second of `loop` and `bare`, and their ratio."""
    tokens = 512 if small else 16384
    with tempfile.TemporaryDirectory() as folder:
        job = trainer.TrainJob(
            "bench", "", TYPES, _settings(precision, tokens), 1, f"{folder}/data.npz", f"{folder}/out"
        )
        _data(text, 8 * tokens).save(Path(job.data))

        def model(*_: Any) -> torch.nn.Module:
            torch.manual_seed(1)
            return Classifier(SHAPES[shape], text.vocabulary, len(TYPES))

        original, trainer.load_model = trainer.load_model, model
        try:
            tokens_seen, _, bare = bare_side(job, model())
            seconds = interleaved({"loop": loop_side(job, tokens_seen), "bare": bare}, rounds)
        finally:
            trainer.load_model = original
    result: dict[str, Any] = {k: {"tokens_per_second": rate(tokens_seen, s)} for k, s in seconds.items()}
    return result | {"ratio": ratio(seconds["loop"], seconds["bare"]), "device": device}


def _settings(precision: str, tokens: int) -> Any:
    return SimpleNamespace(
        **DEFAULTS, precision=precision, tokens_per_step=tokens, sequences_per_step=None, max_micro_batch_tokens=tokens
    )


def _data(text: Text, tokens: int) -> TrainSet:
    """Source sentences with random labels on half of the tokens."""
    ids = text.tokenizer.with_special_tokens(text.tokenizer(text.table["source"].to_pylist()).ids)
    ids = ids.take(np.arange(min(len(ids), int(np.searchsorted(ids.offsets, tokens)))))
    random = np.random.default_rng(5)
    labels = random.integers(0, len(TYPES), len(ids.values)).astype(np.int32)
    labels[random.random(len(labels)) < 0.5] = IGNORE_INDEX
    return TrainSet(ids, labels)
