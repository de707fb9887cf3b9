"""An error with a remedy when a training exhausts the memory of its device."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from xner_ray.encoders.device_errors import exhausts_memory
from xner_ray.errors import UserError
from xner_ray.training.job import TrainJob


@contextlib.contextmanager
def explained_memory(job: TrainJob, longest: int | None = None) -> Iterator[None]:
    """Explain exhausted memory.

    Args:
        job: the training.
        longest: tokens of its longest row, for a block whose memory depends on the micro-batch. None: it does not.

    Raises:
        UserError: the block exhausted the memory of the device.
    """
    try:
        yield
    except RuntimeError as e:
        if not exhausts_memory(e):
            raise
        reason, tokens = (str(e).splitlines() or [""])[0], job.training.max_micro_batch_tokens
        # A micro-batch has at least one row, so that a limit below its length changes nothing.
        if longest is not None and tokens > longest:
            setting = "max_micro_batch_tokens"
            remedy = f"set {job.section}.{setting}={max(tokens // 2, longest)}; it changes memory and speed alone"
        else:
            setting = "num_frozen_layers"
            remedy = (
                f"use a GPU with more memory or a smaller encoder, or train fewer weights with {job.section}.{setting}"
                f" and {job.section}.freeze_embeddings"
            )
        problem = f"the training of `{job.name}` exhausts the memory of its device: {reason}"
        raise UserError(problem, file=job.out, key=f"{job.section}.{setting}", remedy=remedy) from None
