"""Frozen parameters, learning rates by layer, and the schedule."""

import pytest

from tests.harness.tiny_job import LABELS
from xner_ray.encoders.load import load_model
from xner_ray.errors import UserError
from xner_ray.training.freezing import freeze
from xner_ray.training.optimizer import lr_factor, parameter_groups


def test_frozen_parameters_need_no_gradient(tiny_encoder):
    model = load_model(tiny_encoder, LABELS)
    freeze(model, embeddings=True, num_layers=1)
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert not any("embeddings" in name or "layer.0." in name for name in trained)
    assert any("layer.1." in name for name in trained)


def test_more_frozen_layers_than_the_encoder_has_is_an_error(tiny_encoder):
    with pytest.raises(UserError, match="2 layers") as e:
        freeze(load_model(tiny_encoder, LABELS), embeddings=True, num_layers=3)
    assert e.value.key == "num_frozen_layers" and "2" in e.value.remedy


def test_each_layer_has_a_lower_rate_than_the_one_above(tiny_encoder):
    groups = parameter_groups(load_model(tiny_encoder, LABELS), 1e-3, 0.01, 0.5)
    assert {group["lr"] for group in groups} == {1e-3, 5e-4, 2.5e-4}  # head and embeddings, top layer, lower layer


def test_only_matrices_have_weight_decay(tiny_encoder):
    for group in parameter_groups(load_model(tiny_encoder, LABELS), 1e-3, 0.01, 1.0):
        assert all((p.ndim > 1) == (group["weight_decay"] > 0) for p in group["params"])


def test_the_schedule_rises_to_one_and_falls_to_zero():
    factors = [lr_factor(step, 10, 0.25) for step in range(10)]
    assert factors[:3] == pytest.approx([1 / 3, 2 / 3, 1]) and factors[3] == 1
    assert factors[3:] == sorted(factors[3:], reverse=True) and 0 < factors[-1] < 0.2
    assert lr_factor(10, 10, 0.25) == 0 and lr_factor(0, 1, 0.0) == 1


def test_without_warmup_the_schedule_is_that_of_transformers():
    import torch
    from transformers import get_linear_schedule_with_warmup

    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule, rates = get_linear_schedule_with_warmup(optimizer, 0, 8), []
    for _ in range(8):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert [lr_factor(step, 8, 0.0) for step in range(8)] == pytest.approx(rates)
