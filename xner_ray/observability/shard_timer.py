"""Times the shards that pass an actor of the labeling graph: seconds waited and worked as metrics, and one log line per shard."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from xner_ray.observability.logs import log_fields, log_format, log_to_stderr
from xner_ray.observability.metrics import Recorder

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LogContext:
    """What a driver passes to its actors: the run's name, and the log format, because XNER_LOG is set for the driver alone."""

    run: str
    format: str = "lines"

    @classmethod
    def of(cls, run: str) -> LogContext:
        return cls(run, log_format())


class ShardTimer:
    """Times the shards of one actor. Outside of a Ray actor it exports and logs nothing.

    Args:
        context: of the run.
        stage: read, tokenize, label, align or commit.
    """

    def __init__(self, context: LogContext, stage: str):
        self.context, self.stage = context, stage
        self.recorder = Recorder(context.run)
        is_actor, self.device = _this_actor()
        if is_actor:
            log_to_stderr(context.format)

    @contextmanager
    def shard(self, batch: pa.Table) -> Iterator[dict[str, Any]]:
        """Time the work on a shard inside the block.

        Args:
            batch: its envelope, with the columns `shard` (its name) and `sent` (Unix time).

        Yields:
            a dict for further fields of the log line. `forward_seconds` in it is also counted as a metric.
        """
        # The clocks of two nodes may differ by some milliseconds.
        waited = max(0.0, time.time() - batch.column("sent")[0].as_py())
        self.recorder.record("xner_shard_queue_seconds", waited, stage=self.stage)
        with self.named_shard(batch.column("shard")[0].as_py(), waited) as extra:
            yield extra

    @contextmanager
    def named_shard(self, name: str, waited: float = 0.0) -> Iterator[dict[str, Any]]:
        """`shard` of a shard that has no envelope yet.

        Args:
            name: of the shard.
            waited: seconds in a queue.
        """
        extra: dict[str, Any] = {}
        with log_fields(run=self.context.run, stage=self.stage, shard=name):
            started = time.monotonic()
            yield extra
            seconds = time.monotonic() - started
            self.recorder.record("xner_shard_processing_seconds", seconds, stage=self.stage)
            forward = extra.get("forward_seconds", 0.0)
            if forward:
                self.recorder.record("xner_forward_seconds_total", forward, stage=self.stage, device=self.device)
            fields = {"seconds": round(seconds, 3), "waited_seconds": round(waited, 3), **extra}
            with log_fields(**fields):
                log.info("%s", ", ".join(f"{name} {value}" for name, value in fields.items()))


def count_model_actor(context: LogContext) -> None:
    """Count this process as an actor that holds models."""
    Recorder(context.run).record("xner_model_actors", 1, device=_this_actor()[1])


def _this_actor() -> tuple[bool, str]:
    """Whether this process is a Ray actor, and its device."""
    import sys

    ray: Any = sys.modules.get("ray")
    if ray is None or not ray.is_initialized():
        return False, "cpu"
    context = ray.get_runtime_context()
    return context.get_actor_id() is not None, "gpu" if context.get_accelerator_ids().get("GPU") else "cpu"
