"""What is not trained: embedding tables (they hold most parameters of a multilingual encoder) and the lowest layers."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from xner_ray.errors import UserError


def layers_of(model: nn.Module) -> nn.ModuleList:
    """The transformer layers of an encoder: the longest ModuleList in it.

    Raises:
        UserError: it has none.
    """
    lists = [m for m in model.modules() if isinstance(m, nn.ModuleList)]
    if not lists:
        raise UserError(f"{type(model).__name__} has no list of layers", key="num_frozen_layers", remedy="set it to 0")
    return max(lists, key=len)


def freeze(model: nn.Module, embeddings: bool, layers: int) -> None:
    """Switch gradients off.

    Args:
        model: a transformers model with a `base_model`.
        embeddings: freeze all embedding tables and what normalizes them.
        layers: freeze the lowest n transformer layers; from 1 on the embeddings below them are frozen too.

    Raises:
        UserError: the model has no more than `layers` layers.
    """
    stack = list(layers_of(model)) if layers else []
    if layers and layers > len(stack):
        raise UserError(
            f"the encoder has {len(stack)} layers", key="num_frozen_layers", remedy=f"at most {len(stack)}"
        )
    if embeddings or layers:
        for module in _embeddings(model):
            module.requires_grad_(False)
    for layer in stack[:layers]:
        layer.requires_grad_(False)


def _embeddings(model: nn.Module) -> Iterator[nn.Module]:
    base = getattr(model, "base_model", model)
    named = getattr(base, "embeddings", None)
    if named is not None:
        yield named
    else:
        yield from (m for m in base.modules() if isinstance(m, nn.Embedding))


def parameter_groups(model: nn.Module, learning_rate: float, weight_decay: float, layer_decay: float) -> list[dict]:
    """Optimizer groups: no decay on biases and norms; each layer's rate is `layer_decay` times the one above."""
    stack = list(layers_of(model)) if layer_decay < 1 else []
    depth = {id(p): len(stack) - i for i, layer in enumerate(stack) for p in layer.parameters()}
    groups: dict[tuple[bool, int], dict] = {}
    for parameter in model.parameters():
        if not parameter.requires_grad:
            continue
        key = (parameter.ndim > 1, depth.get(id(parameter), 0))
        rate = learning_rate * layer_decay ** key[1]
        group = groups.setdefault(key, {"params": [], "lr": rate, "weight_decay": weight_decay if key[0] else 0.0})
        group["params"].append(parameter)
    return list(groups.values())
