"""The account that every engine keeps; apart from `engine.py`, so that the null engine needs no torch."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Counts:
    """What the engine did, for reports: nothing is cut, redone or asked twice silently."""

    rows: int = 0
    tokens: int = 0
    padded_tokens: int = 0
    repeated_rows: int = 0
    windowed_rows: int = 0
    halvings: int = 0
    forward_seconds: float = 0.0
    extra: dict[str, float] = field(default_factory=dict)
