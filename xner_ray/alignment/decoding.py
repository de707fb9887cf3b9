"""Token probabilities to candidate spans: a span is a maximal run of words above a threshold.

Spans consist of words and not of tokens: the tokens of a name often disagree at its ending, and students learn labels of
words. In Chinese every character is a word, and all characters of a token have the token's probability.

A run may contain a gap of words below the threshold (Bank of England). Two spans of equal text are never joined, and a gap
never contains a word whose probability is near 0: `Wien nach Wien` is two mentions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import pyarrow as pa

from xner_ray.alignment.candidates import Candidates
from xner_ray.alignment.spans import Spans, repeats_previous, touched_tokens
from xner_ray.encoders.ragged import offsets_of, ranges
from xner_ray.encoders.tokenizer import Tokens
from xner_ray.ner.word_spans import WordSpans

if TYPE_CHECKING:
    from xner_ray.config import AlignerConfig  # imports pydantic, which GPU benchmarks do without

WordPooling = Literal["first", "mean"]
# A word below this probability ends a span: docs/method.md has the measurement.
MIN_GAP_PROBABILITY = 0.2
# Config keys of `aligner` that change how spans are decoded, but not how the aligner is trained.
DECODING_KEYS = ("threshold", "max_gap_words", "similarity_weight", "exact_match_score", "one_to_one")


@dataclass(frozen=True)
class Decoding:
    """How a projector turns the aligner's token probabilities into spans.

    Attributes:
        threshold: minimum probability of a word that belongs to the entity.
        max_gap_words: number of words below the threshold that a span may contain between two words above it; none of them
            below MIN_GAP_PROBABILITY.
        word_pooling: the probability of a word is that of its `first` token, or the `mean` of its tokens.
        similarity_weight: weight, 0 to 1, of the untrained similarity in the mix with the aligner (`ensemble.py`). 0: the
            aligner alone. Above 0 it needs `one_to_one`, `max_gap_words` is not used, and `threshold` decides alone only
            where the similarity says nothing, and about other occurrences of a span.
        exact_match_score: score, 0 to 1, of exact string matches (`exact_match.py`), which skip both models. 0 disables
            exact matching.
        one_to_one: assign the entities of a pair to disjoint spans (`assignment.py`), without leading articles. False:
            decode each entity alone, as in the paper.
    """

    threshold: float = 0.5
    max_gap_words: int = 1
    word_pooling: WordPooling = "mean"
    similarity_weight: float = 0.0
    exact_match_score: float = 0.0
    one_to_one: bool = True

    def __post_init__(self) -> None:
        if self.similarity_weight and not self.one_to_one:
            raise ValueError("`similarity_weight` above 0 needs `one_to_one`")

    @classmethod
    def from_config(cls, aligner: AlignerConfig) -> Decoding:
        """The decoding that a config asks for."""
        return cls(**{key: getattr(aligner, key) for key in DECODING_KEYS})


def decode_spans(
    probabilities: np.ndarray,
    tokens: Tokens,
    words: WordSpans,
    strings: pa.StringArray,
    pair_ids: np.ndarray,
    decoding: Decoding,
) -> Candidates:
    """Candidates of all queries by the aligner.

    Args:
        probabilities: float [target tokens of all queries], probability that the token belongs to the entity.
        tokens: of the distinct targets.
        words: of the distinct targets.
        strings: the distinct targets.
        pair_ids: int64 [queries], the target of each query.
        decoding: `threshold`, `max_gap_words` and `word_pooling` are used.

    Returns:
        Candidates ordered by query and start. The score is the mean probability of the span's words, rounded to 4
        decimals. Spans of one query neither overlap nor touch.
    """
    query_ids, word_ids, scores = word_probabilities(probabilities, tokens, words, pair_ids, decoding.word_pooling)
    positive = np.flatnonzero(scores >= decoding.threshold)
    spans = Spans(words.rows[word_ids], words.starts[word_ids], words.ends[word_ids])
    first, last = positive_runs(positive, query_ids, spans, strings, decoding.max_gap_words, scores)
    total = np.concatenate([[0.0], np.cumsum(scores, dtype=np.float64)])
    means = np.round((total[last + 1] - total[first]) / (last + 1 - first), 4)
    return Candidates.create(
        query_ids[first], words.starts[word_ids[first]], words.ends[word_ids[last]], means, aligner_scores=means
    )


def positive_runs(
    positive: np.ndarray,
    query_ids: np.ndarray,
    words: Spans,
    strings: pa.StringArray,
    max_gap_words: int,
    probabilities: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Maximal runs of positive words of one query.

    Args:
        positive: int64, ascending indices of the positive words among the target words of all queries.
        query_ids: int64 [target words of all queries].
        words: spans of the target words of all queries, in `strings`.
        strings: the distinct targets.
        max_gap_words: number of other words that a run may contain between two positive ones. Two parts of equal text are
            never joined.
        probabilities: float [target words of all queries]. A word below MIN_GAP_PROBABILITY is in no run.

    Returns:
        first, last: int64 [runs], indices of the first and the last word (inclusive).
    """
    is_start = np.ones(len(positive), bool)  # of a part: positive words without a gap
    is_start[1:] = (query_ids[positive[1:]] != query_ids[positive[:-1]]) | (np.diff(positive) > 1)
    first = positive[is_start]
    last = positive[np.append(np.flatnonzero(is_start), len(positive))[1:] - 1]
    is_joined = np.zeros(len(first), bool)  # to the part before
    is_joined[1:] = (query_ids[first[1:]] == query_ids[first[:-1]]) & (first[1:] - last[:-1] <= max_gap_words + 1)
    is_low = np.concatenate([[0], np.cumsum(probabilities < MIN_GAP_PROBABILITY)])
    is_joined[1:] &= is_low[first[1:]] == is_low[last[:-1] + 1]
    parts = Spans(words.rows[first], words.starts[first], words.ends[last])
    is_joined &= ~repeats_previous(parts, strings, is_joined)
    heads = np.flatnonzero(~is_joined)
    return first[heads], last[np.append(heads, len(first))[1:] - 1]


def word_probabilities(
    probabilities: np.ndarray, tokens: Tokens, words: WordSpans, pair_ids: np.ndarray, pooling: WordPooling
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """query_ids, word_ids (into `words`) and probability of each target word of each query; 0 for words without a token."""
    offsets = tokens.ids.offsets
    first_tokens, last_tokens = touched_tokens(tokens, Spans(words.rows, words.starts, words.ends))
    counts = np.diff(words.offsets)[pair_ids]
    query_ids = np.repeat(np.arange(len(pair_ids)), counts)
    word_ids = ranges(words.offsets[pair_ids], counts)
    # From the index among the tokens of distinct targets to the index among the target tokens of all queries.
    shift = np.repeat(offsets_of(tokens.ids.lengths[pair_ids])[:-1] - offsets[pair_ids], counts)
    first, last = first_tokens[word_ids] + shift, last_tokens[word_ids] + shift
    if not len(probabilities):
        return query_ids, word_ids, np.zeros(len(word_ids), np.float32)
    if pooling == "first":
        scores = probabilities[np.minimum(first, len(probabilities) - 1)]
    else:
        total = np.concatenate([[0.0], np.cumsum(probabilities, dtype=np.float64)])
        scores = (total[last] - total[first]) / np.maximum(1, last - first)
    return query_ids, word_ids, np.where(first < last, scores, 0.0).astype(np.float32)
