"""Paths of results.json as they are now: an output folder may have been moved or copied since the run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Moved:
    """`old`: the output folder as results.json names it, `new`: as it lies now. Paths outside of it stay."""

    old: Path
    new: Path

    def __call__(self, path: str) -> Path:
        return self.new / Path(path).relative_to(self.old) if Path(path).is_relative_to(self.old) else Path(path)
