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
        model: whether the actor holds a model.
    """

    def __init__(self, context: LogContext, stage: str, model: bool = False):
        self.context, self.stage = context, stage
        self.recorder = Recorder(context.run)
        is_actor, self.device = _this_actor()
        if is_actor:
            log_to_stderr(context.format)
        if model:
            self.recorder.record("xner_model_actors", 1, stage=stage, device=self.device)

    @contextmanager
    def shard(self, batch: pa.Table) -> Iterator[dict[str, Any]]:
        """Time the work on a shard inside the block.

        Args:
            batch: one row with the columns `shard` (its name) and, after the first stage, `sent` (Unix time).

        Yields:
            a dict for further fields of the log line. `forward_seconds` in it is also counted as a metric.
        """
        waited = 0.0
        if "sent" in batch.column_names:
            # The clocks of two nodes may differ by some milliseconds.
            waited = max(0.0, time.time() - batch.column("sent")[0].as_py())
            self.recorder.record("xner_shard_queue_seconds", waited, stage=self.stage)
        extra: dict[str, Any] = {}
        with log_fields(run=self.context.run, stage=self.stage, shard=batch.column("shard")[0].as_py()):
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


def _this_actor() -> tuple[bool, str]:
    """Whether this process is a Ray actor, and its device."""
    import sys

    ray: Any = sys.modules.get("ray")
    if ray is None or not ray.is_initialized():
        return False, "cpu"
    context = ray.get_runtime_context()
    return context.get_actor_id() is not None, "gpu" if context.get_accelerator_ids().get("GPU") else "cpu"
