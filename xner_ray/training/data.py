"""Training data as flat arrays, and the plan of optimizer steps, which every worker computes for itself.

The plan depends only on row lengths, config, seed and epoch. So a worker knows the tokens of the whole step without
communication, a step is the same at any world size, and an interrupted training continues at step n without reading the rows of
the steps before. The price: the tokenized data are in memory (200,000 sentences are about 60 MB).
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

# Label of tokens without a loss: special tokens, the first segment of a pair, masked words.
IGNORE_INDEX = -100
# Label of tokens whose target is the teacher's distribution, see `losses.soft_targets`. Only with `TrainJob.distill_from`.
TEACHER_ONLY_INDEX = -101


@dataclass
class TrainSet:
    """Tokenized and labeled rows. Rows hold special tokens, but no padding.

    Attributes:
        ids: int32 token ids of each row.
        labels: int32 [tokens], label ids; IGNORE_INDEX where there is no loss.
        types: int32 [tokens], segment ids (`token_type_ids`); None: all 0.
        weights: float32 [tokens], loss weights; None: all 1.
    """

    ids: Ragged
    labels: np.ndarray
    types: np.ndarray | None = None
    weights: np.ndarray | None = None

    @cached_property
    def row_weights(self) -> np.ndarray:
        """float64 [rows]: weight of each row in the loss, the sum of the weights of its tokens with a loss."""
        counted = (self.labels != IGNORE_INDEX).astype(np.float64)
        if self.weights is not None:
            counted *= self.weights
        sums = np.concatenate([[0.0], np.cumsum(counted)])
        return sums[self.ids.offsets[1:]] - sums[self.ids.offsets[:-1]]

    @classmethod
    def joined(cls, sets: Sequence[TrainSet]) -> TrainSet:
        """Return the rows of several sets, one set after another. A set that is given twice is trained on twice.

        Args:
            sets: without segment ids.
        """
        lengths = np.concatenate([s.ids.lengths for s in sets])
        ids = Ragged(np.concatenate([s.ids.values for s in sets]), offsets_of(lengths))
        weights = None
        if any(s.weights is not None for s in sets):
            ones = [np.ones(len(s.labels), np.float32) if s.weights is None else s.weights for s in sets]
            weights = np.concatenate(ones)
        return cls(ids, np.concatenate([s.labels for s in sets]), weights=weights)

    def save(self, path: Path) -> None:
        """Write an `.npz` file that appears complete or not at all."""
        arrays: dict[str, Any] = {"values": self.ids.values, "offsets": self.ids.offsets, "labels": self.labels}
        optional = {"types": self.types, "weights": self.weights}
        arrays |= {k: v for k, v in optional.items() if v is not None}

        def write(temporary: Path) -> None:
            with temporary.open("wb") as file:  # a path would get the suffix .npz
                np.savez(file, **arrays)

        replace_file(path, write)

    @classmethod
    def load(cls, path: Path) -> TrainSet:
        """Read what `save` wrote."""
        with np.load(path, allow_pickle=False) as data:
            ids = Ragged(data["values"], data["offsets"])
            return cls(ids, data["labels"], data.get("types"), data.get("weights"))


POOL_STEPS = 64  # rows of this many steps are sorted by length together: little padding, and new batches in each epoch


def plan_epoch(
    lengths: np.ndarray, tokens_per_step: int, seed: int, epoch: int, sequences_per_step: int | None = None
) -> list[np.ndarray]:
    """Return the optimizer steps of an epoch, in random order. Each row is in one step.

    Args:
        lengths: int [rows], tokens of each row.
        tokens_per_step: padded tokens of a step.
        seed, epoch: decide the order.
        sequences_per_step: rows of a step, drawn at random; the last step has the rest. None: `tokens_per_step` decides.

    Returns:
        row numbers of each step, int [rows of the step].
    """
    random = np.random.default_rng([seed, epoch])
    order = random.permutation(len(lengths))
    if sequences_per_step is not None:
        return [order[at : at + sequences_per_step] for at in range(0, len(order), sequences_per_step)]
    mean = float(np.mean(lengths)) if len(lengths) else 1.0
    pool = max(1, int(POOL_STEPS * tokens_per_step / max(1.0, mean)))
    steps = []
    for at in range(0, len(order), pool):
        rows = order[at : at + pool]
        steps += [rows[batch] for batch in greedy_batches(lengths[rows], tokens_per_step)]
    return [steps[i] for i in random.permutation(len(steps))]


def micro_batches_for_rank(
    step: np.ndarray, lengths: np.ndarray, max_tokens: int, rank: int, world_size: int
) -> list[np.ndarray]:
    """Return the micro-batches of a step that one rank runs. The largest goes first, to the rank with the fewest tokens so far.

    Args:
        step: int [rows of the step], row numbers.
        lengths: int [rows], tokens of each row of the data.
        max_tokens: padded tokens of a micro-batch. With several ranks micro-batches are smaller where a rank would have none.
        rank: from 0.
        world_size: number of ranks.

    Returns:
        row numbers of each micro-batch; empty if there are fewer micro-batches than ranks.
    """
    if world_size > 1:
        longest = int(lengths[step].max())
        max_tokens = min(max_tokens, max(longest, -(-len(step) * longest // world_size)))
    batches = [step[batch] for batch in greedy_batches(lengths[step], max_tokens)]
    load, mine = [0] * world_size, []
    for batch in sorted(batches, key=lambda rows: -len(rows) * int(lengths[rows].max())):
        least_loaded = load.index(min(load))
        load[least_loaded] += len(batch) * int(lengths[batch].max())
        if least_loaded == rank:
            mine.append(batch)
    return mine
