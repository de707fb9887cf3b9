"""Token losses as pure functions: logits and labels, or distributions over labels, in, one loss a token out.

Reduction is the loop's business, because it knows how many tokens the step has on all workers.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy as _cross_entropy
from torch.nn.functional import log_softmax, one_hot

from xner_ray.training.data import IGNORE_INDEX


def soft_targets(labels: Tensor, teacher_logits: Tensor, weight: float) -> Tensor:
    """Labels and a teacher's probabilities as one target distribution for each token (Hinton et al. 2015).

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
    """-log p_t; 0 where the label is IGNORE_INDEX. Of a distribution, the mean of -log p over it, so p_t is p's geometric mean.

    Args:
        logits: [..., labels]; computed in float32 whatever their type.
        labels: int [...], or float32 [..., labels] as `soft_targets` returns them.
        gamma: not used; the three losses share one signature.

    Returns:
        float32 [...].
    """
    if labels.is_floating_point():
        return -(labels * log_softmax(logits.float(), -1)).sum(-1)
    flat = _cross_entropy(logits.float().flatten(0, -2), labels.flatten(), ignore_index=IGNORE_INDEX, reduction="none")
    return flat.view(labels.shape)


def focal(logits: Tensor, labels: Tensor, gamma: float = 2.0) -> Tensor:
    """-(1 - p_t)^gamma log p_t (Lin et al. 2017): hard tokens count more, for clean data."""
    loss = cross_entropy(logits, labels)
    return (1 - torch.exp(-loss)) ** gamma * loss


def reweighted(logits: Tensor, labels: Tensor, gamma: float = 4.0) -> Tensor:
    """-(1 + p_t)^gamma log p_t (the paper, section 4.3): hard tokens count less, because in noisy data they are noise.

    The weight is a constant for the gradient. Were it not, the loss would rise with p_t between 0.15 and 0.43 (gamma 4), so
    every token that the model is unsure of would be pushed away from its label: a student of an unsure teacher fell from
    64 to 18 F1. The weight reaches 2^gamma; we divide by that, so that gamma leaves the learning rate alone.
    """
    loss = cross_entropy(logits, labels)
    return ((1 + torch.exp(-loss.detach())) / 2) ** gamma * loss


LOSSES = {"cross_entropy": cross_entropy, "focal": focal, "reweighted": reweighted}
