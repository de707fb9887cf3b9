"""The description of one training and its result. No torch here: a driver describes trainings that workers run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xner_ray.config import TrainingConfig  # needs pydantic, which a GPU machine for measurements may lack


@dataclass
class TrainJob:
    """One model to train.

    Attributes:
        name: prefix of progress lines.
        start: folder of the encoder or tagger whose weights the model starts from.
        labels: names of the labels, the `id2label` of the result.
        training: hyperparameters.
        seed: of initialization, dropout and the order of rows.
        data: file of a TrainSet.
        out: folder of the result.
        distill_from: folder of a model with the same labels, whose probabilities are mixed into the targets, see
            `losses.soft_targets`; None: the labels are the targets.
        distill_weight: weight of those probabilities, 0..1.
        languages: of the result, see `encoders.model_languages`; empty: it is no tagger.
        calibration: file of a TrainSet to fit the temperature on, with a label for the first subword of each word, see
            `training.calibration`; None: the model gets no temperature.
        section: key of `training` in the config, for the remedies of errors.
        marker: content of the completion marker of the parent folder of `out`. The process that saves the model commits that
            folder as soon as the model is complete, see `storage.stage_dir.commit_dir`. None: nothing is committed.
    """

    name: str
    start: str
    labels: list[str]
    training: TrainingConfig
    seed: int
    data: str
    out: str
    distill_from: str | None = None
    distill_weight: float = 0.0
    languages: list[str] = field(default_factory=list)
    calibration: str | None = None
    section: str = "training"
    marker: dict[str, Any] | None = None

    @property
    def checkpoint_folder(self) -> Path:
        """Where a training without Ray Train keeps its checkpoint."""
        return Path(self.out + ".checkpoint")

    def to_dict(self) -> dict[str, Any]:
        """All fields as JSON values."""
        return json.loads(json.dumps({**asdict(self), "training": self.training.model_dump(exclude_none=True)}))

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> TrainJob:
        """The job that `to_dict` described."""
        from xner_ray.config import TrainingConfig

        return cls(**{**fields, "training": TrainingConfig(**fields["training"])})

    def identity(self) -> dict[str, Any]:
        """What the weights depend on, as JSON values. A checkpoint belongs to the job of the same identity."""
        return {key: value for key, value in self.to_dict().items() if key not in ("marker", "calibration", "section")}


@dataclass
class Result:
    """Figures of a whole training, the parts before interruptions included.

    Attributes:
        losses: mean loss per token of each step.
        tokens: tokens seen, without padding.
        seconds: without start-up and without steps that were repeated after a restart.
    """

    losses: list[float] = field(default_factory=list)
    tokens: int = 0
    seconds: float = 0.0

    @property
    def steps(self) -> int:
        """Optimizer steps that are done."""
        return len(self.losses)


@dataclass(frozen=True)
class TrainResources:
    """What Ray may use to train.

    Attributes:
        workers: Ray Train workers per model: one GPU each where there are GPUs, else as many CPUs as fit. With 1, models are
            trained in Ray tasks, several at the same time.
        min_workers: elastic training starts with this number while nodes are missing; None: always `workers`.
        max_gpus: GPUs that an autoscaler may add up to; 0: no autoscaler.
    """

    workers: int = 1
    min_workers: int | None = None
    max_gpus: int = 0

    def use_gpu(self, nodes: Sequence[Mapping[str, float]]) -> bool:
        """Whether the minimum of workers can have a GPU each.

        Args:
            nodes: resources of each node, by Ray's names (CPU, GPU).
        """
        gpus = max(self.max_gpus, sum(node.get("GPU", 0) for node in nodes))
        return gpus >= (self.min_workers or self.workers)
