"""The account that every engine keeps; apart from `engine.py`, so that engines without torch keep the same."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Counts:
    """What the engine did, for reports: nothing is cut, redone or asked twice silently.

    Attributes:
        seconds: by part: `tokenize`, `forward`; two readings of the clock a shard.
        clock: what they are read from; where processes share cores, a benchmark sets that of the process.
    """

    rows: int = 0
    tokens: int = 0
    padded_tokens: int = 0
    repeated_rows: int = 0
    windowed_rows: int = 0
    halvings: int = 0
    extra: dict[str, float] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    clock: Callable[[], float] = time.perf_counter

    @contextmanager
    def timed(self, part: str) -> Iterator[None]:
        """Add the seconds of a block to a part."""
        began = self.clock()
        try:
            yield
        finally:
            self.seconds[part] = self.seconds.get(part, 0.0) + self.clock() - began
