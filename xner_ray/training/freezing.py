"""Parameters that are not trained: the embeddings, which are most of a multilingual encoder, and the lowest layers."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from xner_ray.errors import UserError


def transformer_layers(model: nn.Module) -> nn.ModuleList:
    """Return the transformer layers of an encoder, lowest first: its longest ModuleList.

    Raises:
        UserError: the model has no ModuleList.
    """
    lists = [module for module in model.modules() if isinstance(module, nn.ModuleList)]
    if not lists:
        raise UserError(f"{type(model).__name__} has no list of layers", key="num_frozen_layers", remedy="set it to 0")
    return max(lists, key=len)


def freeze(model: nn.Module, embeddings: bool, num_layers: int) -> None:
    """Switch gradients off.

    Args:
        model: a transformers model with a `base_model`.
        embeddings: freeze all embedding tables and their norms.
        num_layers: freeze this number of transformer layers, lowest first. From 1 on the embeddings are frozen too.

    Raises:
        UserError: the model has fewer layers.
    """
    layers = list(transformer_layers(model)) if num_layers else []
    if num_layers > len(layers):
        raise UserError(
            f"the encoder has {len(layers)} layers", key="num_frozen_layers", remedy=f"at most {len(layers)}"
        )
    if embeddings or num_layers:
        for module in _embeddings(model):
            module.requires_grad_(False)
    for layer in layers[:num_layers]:
        layer.requires_grad_(False)


def _embeddings(model: nn.Module) -> Iterator[nn.Module]:
    base = getattr(model, "base_model", model)
    named = getattr(base, "embeddings", None)
    if named is not None:
        yield named
    else:
        yield from (module for module in base.modules() if isinstance(module, nn.Embedding))
