"""Shard functions of an emulated GPU: a file lock for each device, and a sleep for each pair and entity in place of models.

A device runs one pass at a time, as a real one does. Every pass is noted in a file, so that the busy share of a device is known.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from xner_ray import schema
from xner_ray.labeling.shard_functions import LabelingModels, ShardFunctions

SICK = "XNER_EMULATED_SICK"  # number of a device on which every pass kills its process
SICK_AT_START = "XNER_EMULATED_SICK_AT_START"  # number of a device on which no process starts
FOLDER, DENSITY, PAIRS_PER_SECOND = "XNER_EMULATED_FOLDER", "XNER_EMULATED_DENSITY", 400.0
# Seconds of a pair for the teacher, and of an entity for the aligner: 400 pairs/s at 1.7 entities a pair, costs 1 to 2.5.
LABEL_SECONDS = 1 / PAIRS_PER_SECOND / 3.5
ALIGN_SECONDS = 2.5 * LABEL_SECONDS / 1.7


@contextmanager
def device() -> Iterator[None]:
    """Hold the device of this process, and note when it was busy."""
    index = _index()
    folder = Path(os.environ[FOLDER])
    with (folder / f"gpu-{index}.jsonl").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        if index == os.environ.get(SICK):
            os.abort()
        started = time.time()
        yield
        file.write(json.dumps([started, time.time()]) + "\n")
        file.flush()


def _index() -> str:
    return os.environ["CUDA_VISIBLE_DEVICES"].split(",")[0]


class EmulatedTokenize:
    """Gives no subwords: the other functions need none."""

    def __init__(self, models: LabelingModels):
        pass

    def __call__(self, table: pa.Table, language: str) -> tuple[pa.Array, dict[str, Any]]:
        return pa.array([[]] * table.num_rows, schema.PRETOKENIZED.type), {}


class EmulatedLabel(EmulatedTokenize):
    """Gives the first characters of each source as entities, as many as the density says."""

    def __init__(self, models: LabelingModels):
        if _index() == os.environ.get(SICK_AT_START):
            os.abort()

    def __call__(self, table: pa.Table, language: str) -> tuple[pa.Array, dict[str, Any]]:
        with device():
            time.sleep(LABEL_SECONDS * table.num_rows)
        counts = np.diff(np.floor(np.arange(table.num_rows + 1) * float(os.environ[DENSITY]))).astype(int)
        rows = [[{"start": i, "end": i + 1, "type": "PER", "score": 1.0} for i in range(n)] for n in counts.tolist()]
        return pa.array(rows, schema.ENTITIES.type), {}


class EmulatedAlign(EmulatedTokenize):
    """Finds no projection."""

    def __call__(self, table: pa.Table, language: str) -> tuple[pa.Array, dict[str, Any]]:
        entities = len(table.column("entities").combine_chunks().values)
        with device():
            time.sleep(ALIGN_SECONDS * entities)
        return pa.array([[]] * table.num_rows, schema.PROJECTIONS.type), {}


EMULATED = ShardFunctions(label=EmulatedLabel, align=EmulatedAlign, tokenize=EmulatedTokenize)
