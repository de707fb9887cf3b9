"""What an actor of the labeling graph tells of the shards that pass it: seconds waited and worked, and a log line each."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from xner_ray.observability.logs import about, log_form, log_to_stderr
from xner_ray.observability.metrics import Recorder

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LogContext:
    """What a driver hands to its actors: the run's name, and the form of logs, since XNER_LOG is the driver's alone."""

    run: str
    form: str = "lines"

    @classmethod
    def of(cls, run: str) -> LogContext:
        return cls(run, log_form())


class Watch:
    """The eyes of one actor; outside of an actor it sees and says nothing.

    Args:
        stage: read, tokenize, label, align or commit.
        model: the actor holds one.
    """

    def __init__(self, telling: LogContext, stage: str, model: bool = False):
        self.telling, self.stage = telling, stage
        self.recorder = Recorder(telling.run)
        actor, self.device = _this_actor()
        if actor:
            log_to_stderr(telling.form)
        if model:
            self.recorder.record("xner_model_actors", 1, stage=stage, device=self.device)

    @contextmanager
    def shard(self, batch: pa.Table) -> Iterator[dict[str, Any]]:
        """Watch over the work on a batch of one row with `shard`, and `sent` where a stage came before.

        Yields:
            a dict for what else is to be logged of the shard; `forward_seconds` in it is counted too.
        """
        waited = 0.0
        if "sent" in batch.column_names:
            # Clocks of two nodes differ by some milliseconds, and a wait is not negative.
            waited = max(0.0, time.time() - batch.column("sent")[0].as_py())
            self.recorder.record("xner_shard_queue_seconds", waited, stage=self.stage)
        told: dict[str, Any] = {}
        with about(run=self.telling.run, stage=self.stage, shard=batch.column("shard")[0].as_py()):
            began = time.monotonic()
            yield told
            seconds = time.monotonic() - began
            self.recorder.record("xner_shard_processing_seconds", seconds, stage=self.stage)
            forward = told.get("forward_seconds", 0.0)
            if forward:
                self.recorder.record("xner_forward_seconds_total", forward, stage=self.stage, device=self.device)
            told = {"seconds": round(seconds, 3), "waited_seconds": round(waited, 3), **told}
            with about(**told):
                log.info("%s", ", ".join(f"{name} {value}" for name, value in told.items()))


def _this_actor() -> tuple[bool, str]:
    """Whether this process is a Ray actor, and its device."""
    import sys

    ray: Any = sys.modules.get("ray")
    if ray is None or not ray.is_initialized():
        return False, "cpu"
    context = ray.get_runtime_context()
    return context.get_actor_id() is not None, "gpu" if context.get_accelerator_ids().get("GPU") else "cpu"
