"""The untrained similarity and the trained aligner as one projector.

The aligner reads the name without its sentence: it finds whole names, and misses translations that only the context shows
(House, Parlament). The similarity reads both sentences and each mention in its place, but knows no names. So the word
probabilities of both are mixed, and the best window of words is the span of a mention (`span_search.py`). The cost is one
forward pass of both sentences through the lower layers for each pair with an entity. The similarity says nothing about a
pair with one token on a side. There the aligner decides alone, by its threshold.

A projection keeps three scores: `score`, that of the window in the mix (`score_map.py` calibrates it), `aligner`, the mean
probability of its words by the aligner, and `similarity`, the score of the same window by the similarity alone. `score` is
high where both agree.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from xner_ray.alignment.candidates import Candidates
from xner_ray.alignment.queries import Queries, QueryTexts
from xner_ray.alignment.span_search import (
    MIN_SCORE,
    WordMass,
    has_recall,
    mix,
    name_windows,
    window_means,
    window_scores,
)
from xner_ray.alignment.spans import Spans
from xner_ray.encoders.ragged import Ragged
from xner_ray.storage.atomic import create_dir_once

if TYPE_CHECKING:
    from xner_ray.alignment.similarity import Similarity  # imports torch

FOLDER = "similarity"  # of the similarity's encoder, in the folder of the aligner


def joint_candidates(
    similarity: Similarity,
    queries: Queries,
    texts: QueryTexts,
    probabilities: Ragged | None,
    similarity_weight: float,
    threshold: float = 0.5,
) -> Candidates:
    """The best window of each mention, by similarity and aligner together.

    Args:
        similarity: aligns the mentions.
        queries: at least one.
        texts: of the queries. Their tokens, where they have some, are those of the similarity's tokenizer.
        probabilities: float32, the aligner's probability of each target word of each query, one row for each query. None:
            without the aligner.
        similarity_weight: of the similarity in the mix, 0 to 1.
        threshold: minimum of the aligner's mean probability of a window about which the similarity says nothing.

    Returns:
        Distinct candidates ordered by query and start.
    """
    words = texts.words
    alone, query_ids = _align(similarity, queries, texts)
    rows = texts.pair_ids[query_ids]
    mass, aligner = alone, None
    if probabilities is not None:
        aligner = probabilities.take(query_ids)
        mass = mix(alone, aligner, 1 - similarity_weight)
    first, last, scores = name_windows(mass, texts.uses_spaces)
    is_kept, is_compared = scores >= MIN_SCORE, has_recall(alone)
    if aligner is not None:
        is_kept &= is_compared | (window_means(aligner, np.arange(len(first)), first, last) >= threshold)
    kept = np.flatnonzero(is_kept)
    first, last, scores, query_ids, rows = first[kept], last[kept], scores[kept], query_ids[kept], rows[kept]
    windows = (kept, first, last)
    aligner_scores = np.nan if aligner is None else np.round(window_means(aligner, *windows), 4)
    similarity_scores = np.where(is_compared[kept], np.round(window_scores(alone, *windows), 4), np.nan)
    return Candidates.create(
        query_ids,
        words.starts[words.offsets[rows] + first],
        words.ends[words.offsets[rows] + last - 1],
        np.round(scores, 4),
        aligner_scores=aligner_scores,
        similarity_scores=similarity_scores,
    ).distinct()


def agreement(
    similarity: Similarity, queries: Queries, texts: QueryTexts, probabilities: Ragged, similarity_weight: float
) -> tuple[np.ndarray, np.ndarray]:
    """Whether the similarity alone and the aligner alone choose the same window, for `score_map.fit_score_map`.

    Args:
        similarity, queries, texts, probabilities, similarity_weight: as in `joint_candidates`.

    Returns:
        scores: float32, the score of the best window in the mix, of each mention that has one and that both compare.
        agrees: bool, likewise.
    """
    alone, query_ids = _align(similarity, queries, texts)
    aligner = probabilities.take(query_ids)
    weights = (0.0, 1.0, 1 - similarity_weight)
    first, second, joint = (name_windows(mix(alone, aligner, weight), texts.uses_spaces) for weight in weights)
    agrees = (first[0] == second[0]) & (first[1] == second[1]) & (np.minimum(first[2], second[2]) >= MIN_SCORE)
    is_used = has_recall(alone) & (joint[2] >= MIN_SCORE)
    return joint[2][is_used], agrees[is_used]


def _align(similarity: Similarity, queries: Queries, texts: QueryTexts) -> tuple[WordMass, np.ndarray]:
    """The similarity's alignment of all mentions, ordered by pair, and the query of each mention."""
    mentions = queries.mentions
    order = np.argsort(texts.pair_ids[mentions.query_ids], kind="stable")
    query_ids = mentions.query_ids[order]
    spans = Spans(texts.pair_ids[query_ids], mentions.starts[order], mentions.ends[order])
    sides = texts.sources, texts.targets, texts.words, spans, texts.source_tokens, texts.tokens
    return similarity.align_mentions(*sides), query_ids


def save_similarity(encoder: str | Path, layer: int, folder: str | Path) -> None:
    """Save the layers of the untrained encoder that the similarity needs in the folder of an aligner, unless they are there.

    Args:
        encoder: `embedded`, hub id, or folder.
        layer: of the hidden states that are compared.
        folder: of the aligner.
    """

    def write(temporary: Path) -> None:
        from xner_ray.alignment.similarity import Similarity  # imports torch

        Similarity.save(str(encoder), layer, temporary)

    create_dir_once(Path(folder) / FOLDER, write)
