"""The description of one shard to label."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ShardDescriptor:
    """One shard to label: a row of the labeling graph's input.

    Attributes:
        shard: its name, unique in the run.
        language: of its target sentences.
        path: its Parquet file.
        rows: number of sentence pairs.
        input_hash: SHA-256 of the file.
    """

    shard: str
    language: str
    path: str
    rows: int
    input_hash: str
