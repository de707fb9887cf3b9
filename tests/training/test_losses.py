"""Losses equal their formulas."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from xner_ray.training.data import IGNORE_INDEX, TEACHER_ONLY_INDEX
from xner_ray.training.losses import LOSSES, cross_entropy, focal, reweighted, reweighted_literal, soft_targets

LOGITS = torch.tensor([[2.0, 0.0, -1.0], [0.1, 0.2, 0.3], [5.0, 5.0, 5.0]])
LABELS = torch.tensor([0, 2, IGNORE_INDEX])


def p(row):
    return torch.softmax(LOGITS[row], -1)[LABELS[row]].item()


def test_cross_entropy_is_the_negative_log_probability():
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


def test_the_literal_loss_is_the_formula_of_the_paper():
    loss = reweighted_literal(LOGITS, LABELS, 4.0)
    assert math.isclose(loss[1].item(), -((1 + p(1)) ** 4) * math.log(p(1)), rel_tol=1e-5)
    assert torch.allclose(reweighted_literal(LOGITS, LABELS, 0.0), cross_entropy(LOGITS, LABELS))


def test_the_gradient_of_the_literal_loss_passes_through_the_weight():
    step, rows = 1e-2, torch.tensor([[0.3, -0.4, 0.1], [2.0, 0.0, -1.0], [-3.0, 1.0, 0.5]])
    labels, logits = torch.tensor([1, 0, 0]), rows.clone().requires_grad_()
    reweighted_literal(logits, labels, 4.0).sum().backward()
    for row, column in ((r, c) for r in range(3) for c in range(3)):
        moved = torch.zeros_like(rows)
        moved[row, column] = step
        ahead, behind = (reweighted_literal(rows + sign * moved, labels, 4.0).sum().item() for sign in (1, -1))
        assert math.isclose((ahead - behind) / (2 * step), logits.grad[row, column].item(), rel_tol=1e-2, abs_tol=2e-3)
    detached = rows.clone().requires_grad_()
    (2**4 * reweighted(detached, labels, 4.0)).sum().backward()
    assert not torch.allclose(detached.grad, logits.grad, rtol=0.05)


def test_losses_keep_the_shape_and_have_finite_gradients():
    logits = torch.randn(2, 4, 5, requires_grad=True)
    labels = torch.randint(0, 5, (2, 4))
    for loss in (cross_entropy, focal, reweighted):
        assert loss(logits, labels, 2.0).shape == (2, 4)
    reweighted(logits, labels).sum().backward()
    assert torch.isfinite(logits.grad).all()


@settings(deadline=None)  # the first call of torch is slow
@given(
    st.lists(st.sampled_from([IGNORE_INDEX, TEACHER_ONLY_INDEX, 0, 1, 2]), min_size=1, max_size=9),
    st.floats(0, 1),
    st.integers(0, 99),
)
def test_soft_targets_are_distributions_except_where_ignored(labels, weight, seed):
    labels = torch.tensor(labels)
    logits = torch.randn(len(labels), 3, generator=torch.Generator().manual_seed(seed))
    targets, teacher = soft_targets(labels, logits, weight), torch.softmax(logits, -1)
    assert torch.allclose(targets.sum(-1), (labels != IGNORE_INDEX).float(), atol=1e-5)
    for label, target, probabilities in zip(labels.tolist(), targets, teacher, strict=True):
        if label == TEACHER_ONLY_INDEX:
            assert torch.allclose(target, probabilities)
        elif label != IGNORE_INDEX:
            assert torch.allclose(target - weight * probabilities, (1 - weight) * torch.eye(3)[label], atol=1e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_one_hot_targets_have_the_loss_of_labels(name):
    targets = soft_targets(LABELS, torch.randn(3, 3), 0.0)
    assert torch.allclose(LOSSES[name](LOGITS, targets, 2.0), LOSSES[name](LOGITS, LABELS, 2.0))


def test_cross_entropy_is_least_at_the_soft_targets():
    teacher_logits, logits = torch.tensor([[0.3, 1.0, -1.0]]), torch.zeros(1, 3, requires_grad=True)
    targets = soft_targets(torch.tensor([0]), teacher_logits, 0.5)
    cross_entropy(logits, targets).sum().backward()
    assert torch.allclose(logits.grad, torch.softmax(torch.zeros(1, 3), -1) - targets, atol=1e-6)
