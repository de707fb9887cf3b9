"""The null model with a forward pass that takes time and no CPU, as one on a GPU does: so a second fake GPU is of use."""

from __future__ import annotations

import time
from typing import Any

import pyarrow as pa

from xner_ray.labeling.shard_functions import AlignWork, LabelWork

LABEL_SECONDS, ALIGN_SECONDS = 0.4, 1.0  # a shard


class SlowLabel(LabelWork):
    def __call__(self, table: pa.Table, language: str) -> tuple[pa.Array, dict[str, Any]]:
        time.sleep(LABEL_SECONDS)
        return super().__call__(table, language)


class SlowAlign(AlignWork):
    def __call__(self, table: pa.Table, language: str) -> tuple[pa.Array, dict[str, Any]]:
        time.sleep(ALIGN_SECONDS)
        return super().__call__(table, language)
