"""A training that takes seconds and can be learned, for one process or two."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np

from xner_ray.config import TrainingConfig
from xner_ray.encoders.ragged import Ragged
from xner_ray.training.backends.local import LocalBackend
from xner_ray.training.data import IGNORE_INDEX, TrainSet
from xner_ray.training.job import TrainJob

LABELS = ["O", "B-X", "I-X"]


def make_job(start: Path, folder: Path, weights: bool = False, rows: int = 60, **training) -> TrainJob:
    """A job over random rows, in which the label of a token follows from its id.

    Args:
        start: encoder folder.
        folder: where data and model go.
        weights: give each token a random loss weight.
        rows: number of rows.
        training: hyperparameters that differ from those below.
    """
    random = np.random.default_rng(0)
    ids = Ragged.from_rows([[0, *random.integers(4, 90, size=n), 2] for n in random.integers(3, 20, size=rows)])
    labels = np.where(ids.values % 7 == 0, 1, 0).astype(np.int32)
    labels[(ids.values == 0) | (ids.values == 2)] = IGNORE_INDEX
    token_weights = random.uniform(0.1, 1, len(labels)).astype(np.float32) if weights else None
    folder.mkdir(exist_ok=True)
    TrainSet(ids, labels, weights=token_weights).save(folder / "data.npz")
    settings = {
        "epochs": 6,
        "learning_rate": 1e-2,
        "tokens_per_step": 128,
        "max_micro_batch_tokens": 128,
        "precision": "fp32",
        "freeze_embeddings": False,
        **training,
    }
    return TrainJob(
        "test", str(start), LABELS, TrainingConfig(**settings), 1, str(folder / "data.npz"), str(folder / "model")
    )


def without_dropout(job: TrainJob) -> TrainJob:
    """The job with an encoder without dropout, whose masks differ after a restart and between workers."""
    folder = Path(job.out).parent / "start"
    shutil.copytree(job.start, folder, dirs_exist_ok=True)
    config = json.loads((folder / "config.json").read_text())
    config |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    (folder / "config.json").write_text(json.dumps(config))
    job.start = str(folder)
    return job


class SilentBackend(LocalBackend):
    """A backend without progress lines and without checkpoints, for any rank."""

    def __init__(self, rank: int = 0, world_size: int = 1):
        super().__init__(log=lambda line: None)
        self.rank, self.world_size = rank, world_size
