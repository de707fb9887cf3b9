"""Token losses: pure functions of logits and targets that return one loss per token.

Targets are labels or distributions over labels. The training loop sums and scales the losses, because it knows how many tokens
the step has on all ranks.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy as _cross_entropy
from torch.nn.functional import log_softmax, one_hot

from xner_ray.training.data import IGNORE_INDEX


def soft_targets(labels: Tensor, teacher_logits: Tensor, weight: float) -> Tensor:
    """Mix labels and a teacher's probabilities into one target distribution per token (Hinton et al. 2015).

    Args:
        labels: int [...]; TEACHER_ONLY_INDEX: the target is the teacher's distribution; IGNORE_INDEX: no loss.
        teacher_logits: [..., labels].
        weight: weight of the teacher's probabilities, 0..1; the label has weight `1 - weight`.

    Returns:
        float32 [..., labels]; all 0 where the label is IGNORE_INDEX.
    """
    probabilities = torch.softmax(teacher_logits.float(), -1)
    hard = one_hot(labels.clamp(min=0), probabilities.shape[-1])
    known, counted = (labels >= 0).unsqueeze(-1), (labels != IGNORE_INDEX).unsqueeze(-1)
    return torch.where(known, (1 - weight) * hard + weight * probabilities, probabilities) * counted


def cross_entropy(logits: Tensor, labels: Tensor, gamma: float = 0.0) -> Tensor:
    """-log p_t, where p_t is the probability of the label; 0 where the label is IGNORE_INDEX.

    For a target distribution it is the expectation of -log p under it, so p_t is a geometric mean.

    Args:
        logits: [..., labels], of any float type; the loss is computed in float32.
        labels: int [...], or float32 [..., labels] as `soft_targets` returns them.
        gamma: not used; all losses have the same arguments.

    Returns:
        float32 [...].
    """
    if labels.is_floating_point():
        return -(labels * log_softmax(logits.float(), -1)).sum(-1)
    flat = _cross_entropy(logits.float().flatten(0, -2), labels.flatten(), ignore_index=IGNORE_INDEX, reduction="none")
    return flat.view(labels.shape)


def focal(logits: Tensor, labels: Tensor, gamma: float = 2.0) -> Tensor:
    """-(1 - p_t)^gamma log p_t (Lin et al. 2017). It raises the weight of hard tokens, for clean data. Arguments as above."""
    loss = cross_entropy(logits, labels)
    return (1 - torch.exp(-loss)) ** gamma * loss


def reweighted(logits: Tensor, labels: Tensor, gamma: float = 4.0) -> Tensor:
    """-((1 + p_t) / 2)^gamma log p_t. It lowers the weight of hard tokens, which are often errors in noisy data.

    The loss is that of the paper, section 4.3, with two changes. The weight is detached from the gradient: otherwise the loss
    rises with p_t between 0.15 and 0.43 (gamma 4), so uncertain tokens are pushed away from their labels, and a student of an
    uncertain teacher fell from 64 to 18 F1. The weight is divided by its maximum, 2^gamma, so gamma does not change the
    effective learning rate. Arguments as above.
    """
    loss = cross_entropy(logits, labels)
    return ((1 + torch.exp(-loss.detach())) / 2) ** gamma * loss


def reweighted_literal(logits: Tensor, labels: Tensor, gamma: float = 4.0) -> Tensor:
    """-(1 + p_t)^gamma log p_t, the formula of the paper, with a gradient through the weight. Arguments as above.

    The derivative by p_t is -(1 + p)^(gamma - 1) ((1 + p) / p + gamma log p). It is positive for some p_t if gamma is above
    3.6, see `reweighted`.
    """
    loss = cross_entropy(logits, labels)
    return (1 + torch.exp(-loss)) ** gamma * loss


LOSSES = {
    "cross_entropy": cross_entropy,
    "focal": focal,
    "reweighted": reweighted,
    "reweighted_literal": reweighted_literal,
}
