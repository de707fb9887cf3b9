"""Shard functions of the null model that take time but no CPU, like a forward pass on a GPU: a second fake GPU saves time."""

from __future__ import annotations

import time
from typing import Any

import pyarrow as pa

from xner_ray.labeling.shard_functions import AlignFunction, LabelFunction, ShardFunctions

LABEL_SECONDS, ALIGN_SECONDS = 0.4, 1.0  # of one shard


class SlowLabel(LabelFunction):
    """Sleeps before it labels."""

    def __call__(self, table: pa.Table, language: str) -> tuple[pa.Array, dict[str, Any]]:
        time.sleep(LABEL_SECONDS)
        return super().__call__(table, language)


class SlowAlign(AlignFunction):
    """Sleeps before it aligns."""

    def __call__(self, table: pa.Table, language: str) -> tuple[pa.Array, dict[str, Any]]:
        time.sleep(ALIGN_SECONDS)
        return super().__call__(table, language)


SLOW = ShardFunctions(label=SlowLabel, align=SlowAlign)
