"""Candidate spans of entities in their target sentences, as flat arrays."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import NamedTuple

import numpy as np


class Projection(NamedTuple):
    """One candidate span of a sentence pair: index of the entity, half-open character span in the target, and score (0..1)."""

    entity: int
    start: int
    end: int
    score: float


@dataclass(frozen=True)
class Candidates:
    """Candidate spans of queries (`Queries`). All arrays have one element for each candidate.

    Attributes:
        query_ids: int64, index of the query.
        starts, ends: int64, half-open character span in the query's target sentence.
        scores: float32, 0 to 1.
        aligner_scores: float32, mean probability of the span's words by the aligner. NaN: it did not run.
        similarity_scores: float32, score of the span by the untrained similarity alone. NaN: it did not run.
    """

    query_ids: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    scores: np.ndarray
    aligner_scores: np.ndarray
    similarity_scores: np.ndarray

    @classmethod
    def create(
        cls,
        query_ids: np.ndarray,
        starts: np.ndarray,
        ends: np.ndarray,
        scores: np.ndarray | float,
        aligner_scores: np.ndarray | float = np.nan,
        similarity_scores: np.ndarray | float = np.nan,
    ) -> Candidates:
        """Build from arrays. A score that is one number is the score of all candidates."""
        columns = (scores, aligner_scores, similarity_scores)
        return cls(query_ids, starts, ends, *(np.full(len(query_ids), column, np.float32) for column in columns))

    @classmethod
    def empty(cls) -> Candidates:
        """No candidates."""
        none = np.zeros(0, np.int64)
        return cls.create(none, none, none, 0.0)

    def __len__(self) -> int:
        return len(self.query_ids)

    def take(self, index: np.ndarray) -> Candidates:
        """Select candidates by a bool mask or by number, in the given order."""
        return Candidates(*(getattr(self, field.name)[index] for field in fields(self)))

    def concatenate(self, other: Candidates) -> Candidates:
        """These candidates, then the others."""
        return Candidates(*(np.concatenate([getattr(c, field.name) for c in (self, other)]) for field in fields(self)))

    def sorted(self) -> Candidates:
        """Ordered by query, start and end."""
        return self.take(np.lexsort((self.ends, self.starts, self.query_ids)))

    def with_edges(self, starts: np.ndarray, ends: np.ndarray) -> Candidates:
        """Return the same candidates with other spans."""
        return replace(self, starts=starts, ends=ends)

    def for_queries(self, query_ids: np.ndarray) -> Candidates:
        """Candidates of a selection of queries (`Queries.take`), as candidates of all queries.

        Args:
            query_ids: int64 [selected queries], the index of each selected query among all queries.
        """
        return replace(self, query_ids=query_ids[self.query_ids])

    def distinct(self) -> Candidates:
        """Ordered by query, start and end, each span of a query once, with the scores of its best candidate."""
        ordered = self.take(np.lexsort((-self.scores, self.ends, self.starts, self.query_ids)))
        keys = np.stack([ordered.query_ids, ordered.starts, ordered.ends])
        is_first = np.ones(len(ordered), bool)
        is_first[1:] = (keys[:, 1:] != keys[:, :-1]).any(axis=0)
        return ordered.take(is_first)

    def unaligned_queries(self, num_queries: int) -> np.ndarray:
        """Queries without a candidate: bool [queries]."""
        unaligned = np.ones(num_queries, bool)
        unaligned[self.query_ids] = False
        return unaligned
