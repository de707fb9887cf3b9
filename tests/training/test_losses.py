"""Losses are what their formulas say."""

import math

import torch

from xner_ray.training.losses import IGNORED, cross_entropy, focal, reweighted

LOGITS = torch.tensor([[2.0, 0.0, -1.0], [0.1, 0.2, 0.3], [5.0, 5.0, 5.0]])
LABELS = torch.tensor([0, 2, IGNORED])


def p(row):
    return torch.softmax(LOGITS[row], -1)[LABELS[row]].item()


def test_cross_entropy():
    loss = cross_entropy(LOGITS, LABELS)
    assert math.isclose(loss[0].item(), -math.log(p(0)), rel_tol=1e-5)
    assert loss[2].item() == 0


def test_focal_weighs_hard_tokens_more():
    loss = focal(LOGITS, LABELS, 2.0)
    assert math.isclose(loss[0].item(), -((1 - p(0)) ** 2) * math.log(p(0)), rel_tol=1e-5)
    assert torch.allclose(focal(LOGITS, LABELS, 0.0), cross_entropy(LOGITS, LABELS))


def test_reweighted_weighs_hard_tokens_less():
    loss = reweighted(LOGITS, LABELS, 4.0)
    assert math.isclose(loss[1].item(), -(((1 + p(1)) / 2) ** 4) * math.log(p(1)), rel_tol=1e-5)
    easy, hard = (loss / cross_entropy(LOGITS, LABELS))[:2].tolist()
    assert easy > hard
    assert torch.allclose(reweighted(LOGITS, LABELS, 0.0), cross_entropy(LOGITS, LABELS))


def test_reweighted_never_pushes_a_token_away_from_its_label():
    for p_t in (0.05, 0.2, 0.35, 0.6, 0.95):
        logits = torch.tensor([[p_t, 1 - p_t]]).log().requires_grad_()
        reweighted(logits, torch.tensor([0]), 4.0).sum().backward()
        assert logits.grad[0, 0] < 0, p_t


def test_shape_and_gradient():
    logits = torch.randn(2, 4, 5, requires_grad=True)
    labels = torch.randint(0, 5, (2, 4))
    for loss in (cross_entropy, focal, reweighted):
        assert loss(logits, labels, 2.0).shape == (2, 4)
    reweighted(logits, labels).sum().backward()
    assert torch.isfinite(logits.grad).all()
