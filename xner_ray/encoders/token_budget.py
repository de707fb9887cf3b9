"""The token budget `auto`: how many padded tokens a forward pass takes, by the memory of the device.

The budget does not change the entities and projections, and their scores by less than 0.001, so it is no part of a fingerprint.
"""

from __future__ import annotations

from typing import Any, Literal

TokenBudget = int | Literal["auto"]
CPU_TOKENS = 4096  # larger batches are not faster on a core: docs/performance.md
MIN_TOKENS, MAX_TOKENS = 16_384, 65_536
# Of the free memory. Two actors share a GPU by default, and the next models are not loaded yet.
MEMORY_FRACTION = 0.25


def bytes_per_token(config: Any, value_bytes: int) -> int:
    """Memory that a forward pass needs at most for each token, beside the weights.

    The vocabulary does not count: its embeddings are weights, and no model here predicts tokens.

    Args:
        config: of the model, with the attributes of a Hugging Face config.
        value_bytes: of one number of the model.
    """
    hidden = getattr(config, "hidden_size", 1024)
    inner = getattr(config, "intermediate_size", 4 * hidden)
    layers = getattr(config, "num_hidden_layers", 24)
    labels = getattr(config, "num_labels", 2)
    within_layer = 6 * hidden + 2 * inner
    kept = (layers + 1) * hidden  # states of all layers, which the similarity asks for
    matched = 8 * hidden * value_bytes + 16 * hidden  # the states of its pairs, and unit vectors in float32
    inputs_and_labels = 64 + 12 * labels
    return (within_layer + kept) * value_bytes + matched + inputs_and_labels


def auto_budget(config: Any, value_bytes: int, free_bytes: int | None) -> int:
    """The budget of a device. It is a power of two, so that equal devices have equal budgets.

    Args:
        config: of the model, with the attributes of a Hugging Face config.
        value_bytes: of one number of the model.
        free_bytes: memory of the GPU that nothing uses, with the weights in place; None: the device is a CPU.

    Returns:
        16,384 to 65,536 tokens on a GPU. If that is too much, the engine halves it, see `TorchEngine`.
    """
    if free_bytes is None:
        return CPU_TOKENS
    fitting = int(free_bytes * MEMORY_FRACTION) // bytes_per_token(config, value_bytes)
    budget = MAX_TOKENS
    while budget > max(fitting, MIN_TOKENS):
        budget //= 2
    return budget
