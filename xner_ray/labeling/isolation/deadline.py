"""The time that a child process gets for a table, from the number of its tokens.

A child can hang for ever: it was stopped, or its kernel on the GPU does not end. The deadline is generous, because a machine may
be slow or busy, and a deadline that is too short would cost sound rows. It gets closer when the speed of the child is known.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from xner_ray import schema

BYTES_PER_TOKEN = 3  # UTF-8 bytes of a subword: about 4 in Latin script, 3 in Chinese
START_SECONDS = 3600.0  # to import torch and load models, from a network file system too
BASE_SECONDS = 600.0  # of any table: its first batch may load a model
MAX_SECONDS_PER_TOKEN = 0.05  # one busy CPU core and a model of 500 million parameters
MIN_TOKENS = 5_000  # of a table that shows the speed
SLOWDOWN = 20  # how much slower than its slowest table so far a child may become


def count_tokens(table: pa.Table) -> int:
    """About how many tokens a model reads: those of all texts, and those of the targets again for each entity of the row."""
    tokens = 0
    queries = None
    if schema.ENTITIES.name in table.column_names:
        queries = pc.add(pc.list_value_length(table.column(schema.ENTITIES.name)), 1)
    for field in table.schema:
        if pa.types.is_string(field.type) or pa.types.is_large_string(field.type):
            sizes = pc.cast(pc.binary_length(table.column(field.name)), pa.int64())
            tokens += pc.sum(sizes if queries is None else pc.multiply(sizes, queries)).as_py() or 0
    return tokens // BYTES_PER_TOKEN


@dataclass
class Deadline:
    """Deadlines of one child process.

    Attributes:
        base_seconds: of any table.
        start_seconds: for the start of the child.
        seconds_per_token: of the slowest table so far; None: no table was large enough to show it.
    """

    base_seconds: float = BASE_SECONDS
    start_seconds: float = START_SECONDS
    seconds_per_token: float | None = None

    def seconds(self, tokens: int) -> float:
        """The time for a table of so many tokens."""
        known = self.seconds_per_token
        return self.base_seconds + tokens * min(MAX_SECONDS_PER_TOKEN, SLOWDOWN * known if known else float("inf"))

    def observe(self, tokens: int, seconds: float) -> None:
        """Note how long a table took."""
        if tokens >= MIN_TOKENS:
            self.seconds_per_token = max(self.seconds_per_token or 0.0, seconds / tokens)
