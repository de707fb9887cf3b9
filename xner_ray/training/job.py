"""What a training is told and what it tells: no torch here, since a driver plans trainings that its workers do."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xner_ray.config import Training  # needs pydantic, which a GPU box for measurements may lack


@dataclass
class TrainJob:
    """One model to train.

    Attributes:
        name: for progress lines.
        start: folder of the encoder or of the model to go on from.
        labels: names of the labels, `id2label` of the result.
        data: the file of a TrainSet.
        out: folder of the result.
        distill_from: folder of a model with the same labels, whose probabilities are mixed into the targets, see
            `losses.soft_targets`; None: the labels are the targets.
        distill_weight: weight of those probabilities, 0..1.
    """

    name: str
    start: str
    labels: list[str]
    training: Training
    seed: int
    data: str
    out: str
    distill_from: str | None = None
    distill_weight: float = 0.0


@dataclass
class Result:
    """Of the whole training, whatever interrupted it and on how many workers it ran.

    Attributes:
        losses: mean loss a token of each step.
        tokens: real tokens seen.
        seconds: without start-up and without what was done again after a checkpoint.
    """

    losses: list[float] = field(default_factory=list)
    tokens: int = 0
    seconds: float = 0.0
