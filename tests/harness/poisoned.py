"""Work that some rows are poison to: a few in a hundred raise, kill their process, or are too much for the aligner."""

from __future__ import annotations

import os
import signal
import zlib
from typing import Any

import pyarrow as pa

from xner_ray.labeling.shard_functions import AlignWork, LabelWork

EVERY = 61  # of so many rows one is planted for each kind
RAISES, KILLS, KILLS_ALIGNER = 0, 1, 2


def kinds(sources: list[str]) -> list[int]:
    """The kind of each row; those that are none of the three are sound."""
    return [zlib.crc32(text.encode()) % EVERY for text in sources]


def planted(sources: list[str]) -> list[bool]:
    return [kind <= KILLS_ALIGNER for kind in kinds(sources)]


class PoisonedLabel(LabelWork):
    def __call__(self, table: pa.Table, language: str) -> tuple[pa.Array, dict[str, Any]]:
        found = kinds(table.column("source").to_pylist())
        if KILLS in found:
            os.kill(os.getpid(), signal.SIGSEGV)
        if RAISES in found:
            raise ValueError("a row that nobody can read")
        return super().__call__(table, language)


class PoisonedAlign(AlignWork):
    def __call__(self, table: pa.Table, language: str) -> tuple[pa.Array, dict[str, Any]]:
        if KILLS_ALIGNER in kinds(table.column("source").to_pylist()):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(table, language)
