"""Probabilities of target tokens to spans: a span is a maximal run of positive words.

Words, not pieces: a name's pieces disagree at its ending where the word as a whole is clear, and students learn on
words. In Chinese every character is a word, and the characters of one piece share its probability. All queries of a
shard at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from xner_ray.config import Aligner
from xner_ray.encoders.ragged import offsets_of, ranges
from xner_ray.encoders.tokenizer import Tokens
from xner_ray.ner.word_spans import WordSpans

WordPooling = Literal["first", "mean"]
# Config keys of `aligner` that change how spans are decoded, but not how the aligner is trained.
DECODING_KEYS = ("threshold", "max_gap_words", "similarity_fallback_score", "exact_match_score", "one_to_one")


@dataclass(frozen=True)
class Decoding:
    """How a projector turns the aligner's token probabilities into spans.

    Attributes:
        threshold: minimum probability of a word that belongs to the entity.
        max_gap_words: number of words below the threshold that a span may contain between two words above it.
        word_pooling: the probability of a word is that of its `first` token, or the `mean` of its tokens.
        similarity_fallback_score: score, 0 to 1, of spans that only the untrained similarity finds. 0 disables the
            similarity. Needs `one_to_one`.
        exact_match_score: score, 0 to 1, of exact string matches (`exact_match.py`), which skip both models. 0 disables
            exact matching.
        one_to_one: assign the entities of a pair to disjoint spans (`assignment.py`), without leading articles. False:
            decode each entity alone, as in the paper.
    """

    threshold: float = 0.5
    max_gap_words: int = 1
    word_pooling: WordPooling = "mean"
    similarity_fallback_score: float = 0.0
    exact_match_score: float = 0.0
    one_to_one: bool = True

    def __post_init__(self) -> None:
        if self.similarity_fallback_score and not self.one_to_one:
            raise ValueError("`similarity_fallback_score` above 0 needs `one_to_one`")

    @classmethod
    def from_config(cls, aligner: Aligner) -> Decoding:
        """The decoding that a config asks for."""
        return cls(**{key: getattr(aligner, key) for key in DECODING_KEYS})


def token_range(
    token_starts: np.ndarray,
    token_ends: np.ndarray,
    offsets: np.ndarray,
    rows: np.ndarray,
    starts: np.ndarray,
    ends: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """The tokens (or words) that share a character with each span: first and last (exclusive), as flat positions.

    Args:
        token_starts, token_ends: int [tokens], characters of their text, in order.
        offsets: int64 [texts + 1], the tokens of each text.
        rows, starts, ends: int [spans], the text of each span and its characters.
    """
    # One number line for all texts, as in ner/token_labels.py: characters of text i lie at i * width + position.
    rows = np.asarray(rows, np.int64)
    width = int(max(np.max(token_ends, initial=0), np.max(ends, initial=0))) + 2
    base = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets)) * width
    first = np.searchsorted(base + token_ends, rows * width + starts, side="right")
    last = np.searchsorted(base + token_starts, rows * width + ends, side="left")
    low, high = offsets[rows], offsets[rows + 1]
    first, last = np.clip(first, low, high), np.clip(last, low, high)
    return first, np.maximum(first, last)


def spans(
    answers: np.ndarray, tokens: Tokens, text: np.ndarray, words: WordSpans, decoding: Decoding
) -> dict[str, np.ndarray]:
    """Candidates of all queries.

    Args:
        answers: float [sum of target tokens of the queries], the probability that a token belongs to the entity.
        tokens: of the distinct targets.
        text: int64 [queries], the target of each.
        words: of the distinct targets.

    Returns:
        Arrays with one element a span, ordered by query and start: `query`, `start`, `end` (characters of the target),
        `score` (float32, mean score of its words, 4 decimals). Spans of one query neither overlap nor touch.
    """
    query, word, score = word_scores(answers, tokens, text, words, decoding.word_pooling)
    first, last = runs(np.flatnonzero(score >= decoding.threshold), query, decoding.max_gap_words)
    total = np.concatenate([[0.0], np.cumsum(score, dtype=np.float64)])
    mean = (total[last + 1] - total[first]) / (last + 1 - first)
    return {
        "query": query[first],
        "start": words.starts[word[first]],
        "end": words.ends[word[last]],
        "score": np.round(mean, 4).astype(np.float32),
    }


def runs(positive: np.ndarray, query: np.ndarray, max_gap_words: int) -> tuple[np.ndarray, np.ndarray]:
    """First and last (inclusive) word of each maximal run.

    Args:
        positive: int64, ascending: the positive ones among the target words of all queries.
        query: int64 [sum of the target words of the queries].
        max_gap_words: number of other words that a run may contain between two positive ones.
    """
    begins = np.ones(len(positive), bool)
    begins[1:] = (query[positive[1:]] != query[positive[:-1]]) | (np.diff(positive) > max_gap_words + 1)
    heads = np.flatnonzero(begins)
    return positive[heads], positive[np.append(heads[1:], len(positive)) - 1] if len(heads) else heads


def word_scores(
    answers: np.ndarray, tokens: Tokens, text: np.ndarray, words: WordSpans, pooling: WordPooling
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The probability of each word of each query; 0 for words without a piece.

    Returns:
        query, word: int64 [sum of the target words of the queries], the latter into `words`; score: float32, the same
            shape.
    """
    offsets = tokens.ids.offsets
    low, high = token_range(tokens.starts, tokens.ends, offsets, words.rows, words.starts, words.ends)
    counts = np.diff(words.offsets)[text]
    query, word = np.repeat(np.arange(len(text)), counts), ranges(words.offsets[text], counts)
    # From the flat position among distinct targets to that among the queries' answers.
    shift = np.repeat(offsets_of(tokens.ids.lengths[text])[:-1] - offsets[text], counts)
    first, last = low[word] + shift, high[word] + shift
    if not len(answers):
        return query, word, np.zeros(len(word), np.float32)
    if pooling == "first":
        score = answers[np.minimum(first, len(answers) - 1)]
    else:
        total = np.concatenate([[0.0], np.cumsum(answers, dtype=np.float64)])
        score = (total[last] - total[first]) / np.maximum(1, last - first)
    return query, word, np.where(first < last, score, 0.0).astype(np.float32)
