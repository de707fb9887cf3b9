"""Limits of an ingest that runs in many tasks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from xner_ray.corpora.readers.corpus_reader import Source

MAX_DOWNLOADS = 8  # corpora that are read from servers at a time, in all
MAX_SAMPLED_ROWS = 8_000_000  # size of all samples that are drawn at a time; drawing one takes about 500 bytes a row


@dataclass(frozen=True)
class Parallelism:
    """How much of an ingest runs at a time, where it is less than the CPUs of the cluster.

    Attributes:
        languages: languages at a time; None: no limit.
        tasks: tasks of each language that read corpora at a time; None: no limit.
    """

    languages: int | None = None
    tasks: int | None = None

    @classmethod
    def of(cls, languages: Sequence[Sequence[Source]]) -> Parallelism:
        """Return the limits of an ingest: of requests to servers, and of the memory of samples.

        Args:
            languages: the corpora of each language.
        """
        limits = []
        sources = [source for corpora in languages for source in corpora]
        if any("://" in path for source in sources for path in (source.path, source.target_path or "")):
            limits.append(MAX_DOWNLOADS)
        if sources and (rows := sources[0].ingest.max_pairs_per_language):
            limits.append(max(1, MAX_SAMPLED_ROWS // rows))
        if not limits:
            return cls()
        parallel = min(len(languages), *limits)
        return cls(parallel, min(limits) // parallel)
