"""The terminal color of each entity type."""

from __future__ import annotations

_COLORS = {"PER": "magenta", "LOC": "green", "ORG": "cyan", "MISC": "yellow"}
_OTHER_COLOR = "blue"


def type_color(entity_type: str) -> str:
    """Return the color of an entity type, as Rich names colors."""
    return _COLORS.get(entity_type, _OTHER_COLOR)
