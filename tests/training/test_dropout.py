"""ByteDropout has the rate and the mean of dropout, does nothing in evaluation, and is replaced after training."""

import numpy as np
import torch
from torch import nn

from xner_ray.encoders.load import load_model
from xner_ray.training.dropout import ByteDropout, restore_dropout, use_byte_dropout


def test_rate_and_mean_are_those_of_dropout():
    module = ByteDropout(0.1, np.random.default_rng(0)).train()
    x = torch.ones(400, 500, requires_grad=True)
    y = module(x)
    assert abs((y == 0).float().mean().item() - 26 / 256) < 0.005
    assert abs(y.mean().item() - 1) < 0.005
    y.sum().backward()
    assert torch.equal((x.grad == 0), (y == 0))
    assert torch.equal(module.eval()(x), x)


def test_restored_modules_are_those_from_before(tiny_encoder):
    model = load_model(tiny_encoder, ["O", "B-X", "I-X"])
    before = [type(m) for m in model.modules()]
    use_byte_dropout(model, np.random.default_rng(1))
    assert sum(isinstance(m, ByteDropout) for m in model.modules()) >= 5
    restore_dropout(model)
    assert [type(m) for m in model.modules()] == before
    assert all(m.p == 0.1 for m in model.modules() if isinstance(m, nn.Dropout))
