"""AdamW with layer-wise learning-rate decay, and a linear schedule with warmup."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from xner_ray.training.freezing import transformer_layers

if TYPE_CHECKING:
    from xner_ray.config import TrainingConfig


def build_optimizer(model: nn.Module, training: TrainingConfig, num_steps: int) -> tuple[torch.optim.AdamW, LambdaLR]:
    """Return the optimizer of the parameters that require gradients, and its schedule.

    Args:
        model: after `freeze`.
        training: hyperparameters.
        num_steps: optimizer steps of the whole training.
    """
    groups = parameter_groups(model, training.learning_rate, training.weight_decay, training.layerwise_lr_decay)
    optimizer = torch.optim.AdamW(groups, fused=True)
    return optimizer, LambdaLR(optimizer, lambda step: lr_factor(step, num_steps, training.warmup_ratio))


def parameter_groups(model: nn.Module, learning_rate: float, weight_decay: float, layer_decay: float) -> list[dict]:
    """Parameter groups for an optimizer.

    Biases and norms have no weight decay. The learning rate of a transformer layer is `layer_decay` times that of the layer
    above it (ULMFiT, Howard and Ruder 2018). The head and the embeddings have the full rate.

    Args:
        model: parameters without gradients are left out.
        learning_rate: of the head.
        weight_decay: of matrices.
        layer_decay: 0..1; 1 gives all layers the same rate.
    """
    layers = list(transformer_layers(model)) if layer_decay < 1 else []
    depth = {id(p): len(layers) - i for i, layer in enumerate(layers) for p in layer.parameters()}  # 1: the top layer
    groups: dict[tuple[bool, int], dict] = {}
    for parameter in model.parameters():
        if not parameter.requires_grad:
            continue
        is_matrix, below_head = parameter.ndim > 1, depth.get(id(parameter), 0)
        rate = learning_rate * layer_decay**below_head
        new = {"params": [], "lr": rate, "weight_decay": weight_decay if is_matrix else 0.0}
        groups.setdefault((is_matrix, below_head), new)["params"].append(parameter)
    return list(groups.values())


def lr_factor(step: int, num_steps: int, warmup_ratio: float) -> float:
    """Factor of the learning rate at a step: a linear warmup to 1, then linear to 0. Without warmup, it is that of Transformers.

    Args:
        step: from 0.
        num_steps: of the whole training.
        warmup_ratio: warmup steps as a part of all steps, 0..1, rounded up.
    """
    warmup = math.ceil(num_steps * warmup_ratio)
    if step < warmup:
        return (step + 1) / warmup
    return max(0.0, (num_steps - step) / max(1, num_steps - warmup))
