"""Shard functions on an emulated GPU with faults: it kills its process, hangs or raises an error, at the start or in a pass."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pyarrow as pa

from xner_ray import schema
from xner_ray.labeling.shard_functions import LabelingModels, ShardFunctions

LOG, FAULTS = "XNER_TEST_LOG", "XNER_TEST_FAULTS"


class FaultyLabel:
    """A function on the GPU of CUDA_VISIBLE_DEVICES. It writes `GPU start` and `GPU pass` to a file.

    The environment has JSON `{GPU: {"start" or "pass": fault}}`. A fault is the name of a signal, with `once ` before it if it
    occurs once, or the text of an error.
    """

    def __init__(self, models: LabelingModels):
        self.do("start")

    def __call__(self, table: pa.Table, language: str) -> tuple[pa.Array, dict[str, Any]]:
        self.do("pass")
        field = schema.PROJECTIONS if schema.ENTITIES.name in table.column_names else schema.ENTITIES
        return pa.array([[]] * table.num_rows, field.type), {}

    def do(self, what: str) -> None:
        """Note a start or a pass, and fail if the device has a fault."""
        gpu, log = os.environ["CUDA_VISIBLE_DEVICES"], Path(os.environ[LOG])
        with log.open("a") as file:
            file.write(f"{gpu} {what}\n")
        fault = json.loads(os.environ[FAULTS]).get(gpu, {}).get(what, "")
        if fault.startswith("once "):
            fault = fault.removeprefix("once ") if log.read_text().count(f"{gpu} {what}\n") == 1 else ""
        if fault.startswith("SIG"):
            os.kill(os.getpid(), getattr(signal, fault))
        elif fault:
            raise RuntimeError(fault)


class NoFault(FaultyLabel):
    """The aligner, which is in the process of the teacher."""

    def do(self, what: str) -> None:
        pass


FAULTY = ShardFunctions(label=FaultyLabel, align=NoFault)
