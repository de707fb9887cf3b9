"""Training data as flat arrays, and the plan of steps that every worker computes alike.

Because the plan is a function of (lengths, config, seed, epoch) alone, a worker knows the tokens of the whole step without
asking the others, a step is the same at any world size, and a resumed run goes on at step n without reading the first n.
What it trades: the tokenized set is in memory (200,000 sentences are about 60 MB), which fine-tuning sets fit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from xner_ray.encoders.batching import greedy_batches
from xner_ray.encoders.ragged import Ragged, offsets_of
from xner_ray.storage.atomic import replace_file

# Label of tokens that carry no loss: special tokens, segment A, pieces that an aligner does not ask, doubtful words.
IGNORE_INDEX = -100
# Label of tokens whose target is the teacher's distribution, see `losses.soft_targets`. Only with `TrainJob.distill_from`.
TEACHER_ONLY_INDEX = -101


@dataclass
class TrainSet:
    """Rows of token ids with special tokens.

    Attributes:
        ids: int32.
        labels: int32 [tokens], IGNORE_INDEX where there is no loss.
        types: int32 [tokens], segment ids; None: all 0.
        weights: float32 [tokens], loss weights; None: all 1.
    """

    ids: Ragged
    labels: np.ndarray
    types: np.ndarray | None = None
    weights: np.ndarray | None = None

    @cached_property
    def row_weights(self) -> np.ndarray:
        """float64 [rows]: what a row weighs in the loss, its counted labels times their weights."""
        counted = (self.labels != IGNORE_INDEX).astype(np.float64)
        if self.weights is not None:
            counted *= self.weights
        sums = np.concatenate([[0.0], np.cumsum(counted)])
        return sums[self.ids.offsets[1:]] - sums[self.ids.offsets[:-1]]

    @classmethod
    def joined(cls, sets: Sequence[TrainSet]) -> TrainSet:
        """The rows of several sets without segments, one set after another; one that is given twice is trained on twice."""
        lengths = np.concatenate([s.ids.lengths for s in sets])
        ids = Ragged(np.concatenate([s.ids.values for s in sets]), offsets_of(lengths))
        weights = None
        if any(s.weights is not None for s in sets):
            ones = [np.ones(len(s.labels), np.float32) if s.weights is None else s.weights for s in sets]
            weights = np.concatenate(ones)
        return cls(ids, np.concatenate([s.labels for s in sets]), weights=weights)

    def save(self, path: Path) -> None:
        arrays: dict[str, Any] = {"values": self.ids.values, "offsets": self.ids.offsets, "labels": self.labels}
        optional = {"types": self.types, "weights": self.weights}
        arrays |= {k: v for k, v in optional.items() if v is not None}

        def write(temporary: Path) -> None:
            with temporary.open("wb") as file:  # a path would get the suffix .npz
                np.savez(file, **arrays)

        replace_file(path, write)

    @classmethod
    def load(cls, path: Path) -> TrainSet:
        with np.load(path, allow_pickle=False) as data:
            ids = Ragged(data["values"], data["offsets"])
            return cls(ids, data["labels"], data.get("types"), data.get("weights"))


POOL = 64  # steps whose rows are sorted by length together: little padding, yet batches differ from epoch to epoch


def steps_of(lengths: np.ndarray, batch_tokens: int, seed: int, epoch: int) -> list[np.ndarray]:
    """The row numbers of each optimizer step of an epoch; every row once.

    Args:
        lengths: int [rows].
        batch_tokens: padded tokens of a step.
        seed, epoch: they alone decide the order.
    """
    random = np.random.default_rng([seed, epoch])
    order = random.permutation(len(lengths))
    mean = float(np.mean(lengths)) if len(lengths) else 1.0
    pool = max(1, int(POOL * batch_tokens / max(1.0, mean)))
    steps = []
    for at in range(0, len(order), pool):
        rows = order[at : at + pool]
        steps += [rows[batch] for batch in greedy_batches(lengths[rows], batch_tokens)]
    return [steps[i] for i in random.permutation(len(steps))]


def share_of(step: np.ndarray, lengths: np.ndarray, micro_tokens: int, rank: int, world: int) -> list[np.ndarray]:
    """The micro-batches of a step that one worker runs: heaviest first to the least loaded, so that ranks are balanced."""
    if world > 1:
        widest = int(lengths[step].max())
        micro_tokens = min(micro_tokens, max(widest, -(-len(step) * widest // world)))
    micro = [step[batch] for batch in greedy_batches(lengths[step], micro_tokens)]
    load, mine = [0] * world, []
    for batch in sorted(micro, key=lambda b: -len(b) * int(lengths[b].max())):
        to = load.index(min(load))
        load[to] += len(batch) * int(lengths[batch].max())
        if to == rank:
            mine.append(batch)
    return mine
