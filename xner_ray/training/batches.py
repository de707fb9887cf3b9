"""Rows of training data as padded batches on a device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from xner_ray.encoders.batching import pad_batch
from xner_ray.encoders.ragged import Ragged
from xner_ray.training.data import IGNORE_INDEX, TrainSet


@dataclass(frozen=True)
class Batch:
    """Padded rows on a device.

    Attributes:
        inputs: arguments of the model, each int64 [rows, longest].
        labels: int [rows, longest], IGNORE_INDEX where there is no loss.
        weights: float32 [rows, longest], loss weights; a scalar 1 if the data has none.
    """

    inputs: dict[str, torch.Tensor]
    labels: torch.Tensor
    weights: torch.Tensor


def make_batch(data: TrainSet, rows: np.ndarray, config: Any, device: torch.device) -> Batch:
    """Pad rows to a batch.

    Args:
        data: the training data.
        rows: int [rows], row numbers.
        config: of the model: its padding token, and whether it knows segments.
        device: where the tensors go.
    """

    def padded(values: np.ndarray, filler: float) -> torch.Tensor:
        return torch.from_numpy(pad_batch(Ragged(values, data.ids.offsets), rows, filler)[0]).to(device)

    ids, mask = pad_batch(data.ids, rows, config.pad_token_id or 0)
    inputs = {
        "input_ids": torch.from_numpy(ids).to(device),
        "attention_mask": torch.from_numpy(mask.astype(np.int64)).to(device),
    }
    if data.types is not None and getattr(config, "type_vocab_size", 1) > 1:
        inputs["token_type_ids"] = padded(data.types, 0)
    weights = torch.ones((), device=device) if data.weights is None else padded(data.weights, 0.0)
    return Batch(inputs, padded(data.labels, IGNORE_INDEX), weights)
