"""The settings of an export, and the counts of what it wrote."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class ExportOptions:
    """The settings of an export.

    Attributes:
        format: one of FORMATS.
        shares: the share of each split, see `split.parse_shares`. A split without a sentence gets no file.
        seed: another seed assigns sentences to other splits.
        tag_map: entity types to rename; the new name `O` drops a type.
    """

    format: str
    shares: Mapping[str, float]
    seed: int = 1
    tag_map: Mapping[str, str] = field(default_factory=dict)


@dataclass
class ExportSummary:
    """What an export wrote.

    Attributes:
        files: sentences of each file, by its path in the folder.
        sentences: sentences by (language, split).
        entities: entities by (language, split), then by type.
        labels: the labels of each language, in the order of their ids.
    """

    files: dict[str, int] = field(default_factory=dict)
    sentences: Counter[tuple[str, str]] = field(default_factory=Counter)
    entities: dict[tuple[str, str], Counter[str]] = field(default_factory=dict)
    labels: dict[str, list[str]] = field(default_factory=dict)
