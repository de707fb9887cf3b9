"""Shard functions that fail for a few percent of all rows: the teacher raises an error or dies, or the aligner dies."""

from __future__ import annotations

import os
import signal
import zlib
from typing import Any

import pyarrow as pa

from xner_ray.labeling.shard_functions import AlignFunction, LabelFunction, ShardFunctions

NUM_BUCKETS = 61  # rows are hashed into buckets; each of the three kinds below is one bucket
RAISES, KILLS, KILLS_ALIGNER = 0, 1, 2


def buckets(sources: list[str]) -> list[int]:
    """The bucket of each row; rows of other buckets than the three are sound."""
    return [zlib.crc32(text.encode()) % NUM_BUCKETS for text in sources]


def is_poisoned(sources: list[str]) -> list[bool]:
    """Whether each row fails."""
    return [bucket <= KILLS_ALIGNER for bucket in buckets(sources)]


class PoisonedLabel(LabelFunction):
    """Raises an error or dies if the table has such a row."""

    def __call__(self, table: pa.Table, language: str) -> tuple[pa.Array, dict[str, Any]]:
        present = buckets(table.column("source").to_pylist())
        if KILLS in present:
            os.kill(os.getpid(), signal.SIGSEGV)
        if RAISES in present:
            raise ValueError("a row that cannot be read")
        return super().__call__(table, language)


class PoisonedAlign(AlignFunction):
    """Dies if the table has such a row."""

    def __call__(self, table: pa.Table, language: str) -> tuple[pa.Array, dict[str, Any]]:
        if KILLS_ALIGNER in buckets(table.column("source").to_pylist()):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(table, language)


POISONED = ShardFunctions(label=PoisonedLabel, align=PoisonedAlign)
