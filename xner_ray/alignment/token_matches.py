"""Which tokens of two aligned sentences are nearest neighbors by cosine similarity, as flat arrays."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from xner_ray.encoders.tokenizer import Tokens


@dataclass(frozen=True)
class TokenMatches:
    """Nearest neighbors between the tokens of sentence pairs.

    Attributes:
        source, target: the tokens of both sides, one row for each pair.
        nearest_target: int64 [source tokens], the most similar target token, as an index into `target.ids.values`; -1
            where there is none.
        nearest_source: int64 [target tokens], the most similar source token, as an index into `source.ids.values`; -1
            where there is none.
        cosine: float32 [source tokens], cosine similarity to `nearest_target`.
    """

    source: Tokens
    target: Tokens
    nearest_target: np.ndarray
    nearest_source: np.ndarray
    cosine: np.ndarray

    @cached_property
    def mutual(self) -> np.ndarray:
        """The target token whose nearest neighbor is the source token too, -1 where there is none: int64 [source tokens]."""
        is_mutual = self.nearest_target >= 0
        is_mutual[is_mutual] = self.nearest_source[self.nearest_target[is_mutual]] == np.flatnonzero(is_mutual)
        return np.where(is_mutual, self.nearest_target, -1)

    def reversed(self) -> TokenMatches:
        """Return the same matches with source and target swapped."""
        cosine = np.zeros(len(self.nearest_source), np.float32)
        is_mutual = self.mutual >= 0
        cosine[self.mutual[is_mutual]] = self.cosine[is_mutual]
        return TokenMatches(self.target, self.source, self.nearest_source, self.nearest_target, cosine)
