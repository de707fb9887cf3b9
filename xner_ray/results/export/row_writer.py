"""The interface of the format writers, and the sentences that they write."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import pyarrow as pa

from xner_ray.text.words import tokenize_words


class RowWriter(Protocol):
    """Writes rows of schema.EXPORTED to one file."""

    def write(self, rows: pa.Table) -> None: ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class Sentence:
    """A sentence of a dataset.

    Attributes:
        tokens: its tokens.
        tags: BIO2 tags, one for each token.
        spaces: for each token whether white space follows it.
    """

    tokens: list[str]
    tags: list[str]
    spaces: list[bool]


def sentences(rows: pa.Table) -> Iterator[Sentence]:
    """The sentences of rows of schema.EXPORTED."""
    for row in rows.select(["target", "language", "tokens", "ner_tags"]).to_pylist():
        tokens = row["tokens"]
        spans = tokenize_words(row["target"], row["language"])
        spaces = [a[1] < b[0] for a, b in pairwise(spans)] + [False] * bool(spans)
        if len(spaces) != len(tokens):  # another version tokenized the row
            spaces = [True] * (len(tokens) - 1) + [False]
        yield Sentence(tokens, row["ner_tags"], spaces)
