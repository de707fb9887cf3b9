"""Counters and timings that every engine keeps. The module imports no torch, so engines without torch use it too."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class EngineStats:
    """Sums over all calls of one engine. Reports compare the values before and after a shard.

    Attributes:
        rows: rows of the calls.
        tokens: tokens that were run, without padding; of equal rows those of one.
        padded_tokens: tokens that were run, with padding.
        repeated_rows: rows that equal an earlier row of the same call; they are not run.
        windowed_rows: rows longer than the model, read through windows (see `windowing`).
        oom_backoffs: how often the token budget was halved because the device ran out of memory.
        fp32_repeats: calls that were repeated in fp32, because the values of the lower precision were not finite.
        extra: further counters by name, such as those of the projector.
        seconds: by part, `tokenize` and `forward`.
        clock: source of `seconds`. Where processes share cores, a benchmark sets the clock of the process.
    """

    rows: int = 0
    tokens: int = 0
    padded_tokens: int = 0
    repeated_rows: int = 0
    windowed_rows: int = 0
    oom_backoffs: int = 0
    fp32_repeats: int = 0
    extra: dict[str, float] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    clock: Callable[[], float] = time.perf_counter

    @contextmanager
    def timed(self, part: str) -> Iterator[None]:
        """Add the duration of the block to `seconds[part]`."""
        began = self.clock()
        try:
            yield
        finally:
            self.seconds[part] = self.seconds.get(part, 0.0) + self.clock() - began
