"""The bias of a new head: the model begins with the frequencies of the labels (Lin et al. 2017, section 4.1).

A new head has the bias 0, so it gives each label the same probability. If 95% of the tokens have one label, the first gradients
move all tokens towards it. A bias learns slowly: it moves by the learning rate in a step. So the layers learn it instead, with
one direction that all tokens share. At a learning rate of 2e-4 this direction can hide what makes tokens different. Then the
gradients of the lower layers vanish (from 0.14 to 0.0003 in 24 steps), and the model gives every token the same probabilities.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from xner_ray.training.data import TrainSet


def start_at_frequencies(model: nn.Module, data: TrainSet) -> None:
    """Set the bias of a new head to the logarithms of the labels' frequencies, less their mean.

    Args:
        model: a token classifier. A trained head, whose bias is not 0, and a head without a bias stay as they are.
        data: of the training. Each label counts once more than it occurs, so none has the frequency 0.
    """
    bias = _head_bias(model)
    if bias is None or bool(bias.any()):
        return
    counted = data.labels >= 0
    weights = None if data.weights is None else data.weights[counted]
    frequencies = np.log(np.bincount(data.labels[counted], weights, minlength=len(bias)) + 1)
    with torch.no_grad():
        bias.copy_(torch.from_numpy(frequencies - frequencies.mean()))


def _head_bias(model: nn.Module) -> nn.Parameter | None:
    """The bias of the last linear layer outside the encoder; None: it has none."""
    encoder = {id(module) for module in getattr(model, "base_model", model).modules()}
    layers = [m for m in model.modules() if isinstance(m, nn.Linear) and id(m) not in encoder]
    return layers[-1].bias if layers else None
