"""Examples from parallel text alone: what the untrained similarity aligns, kept only where it agrees with itself.

A source span and its target span agree when each projects to the other, every matched token lies inside the spans, and
the similarity is above a floor. About half of the spans pass; those that fail are what the trained aligner is for.
What it trades: coverage for clean labels, as there is far more parallel text than an aligner needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from xner_ray.alignment.decoding import token_range
from xner_ray.alignment.examples.noun_phrases import capitalized, phrases
from xner_ray.alignment.similarity import Matches, Similarity
from xner_ray.alignment.span_cleanup import tidy
from xner_ray.alignment.span_expansion import GROWTH, project_spans
from xner_ray.encoders.ragged import ranges
from xner_ray.ner.word_spans import WordSpans
from xner_ray.text.languages import get_language

FLOOR = 0.5  # mean similarity of matched tokens times the share of tokens that match
PHRASES = 4  # noun phrases tried in a pair
MOST_WORDS = 40  # longer sentences cost more than they teach


@dataclass(frozen=True)
class Agreed:
    """Spans that agree in both directions: arrays [spans], `row` into the pairs, characters, `kind` a type or
    `phrase`.
    """

    row: np.ndarray
    start: np.ndarray
    end: np.ndarray
    target_start: np.ndarray
    target_end: np.ndarray
    kind: np.ndarray
    score: np.ndarray


def candidates(sources: Sequence[str], entities: pa.Array, random: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Entities of the teacher, and noun phrases apart from them.

    Returns:
        row, start, end, kind of the candidates.
    """
    found: list[tuple[int, int, int, str]] = []
    for row, (text, listed) in enumerate(zip(sources, entities.to_pylist(), strict=True)):
        own = [(e["start"], e["end"]) for e in listed]
        found += [(row, e["start"], e["end"], e["type"]) for e in listed]
        free = [
            p
            for p in capitalized(text)[:1] + _some(phrases(text), random)
            if all(p[1] <= a or b <= p[0] for a, b in own)
        ]
        found += [(row, a, b, "phrase") for a, b in dict.fromkeys(free)]
    columns = [np.array([f[i] for f in found], np.int64) for i in range(3)]
    return (*columns, np.array([f[3] for f in found], dtype=object))


def _some(spans: list[tuple[int, int]], random: np.random.Generator) -> list[tuple[int, int]]:
    """A few of the spans, long ones more often: short ones are many, and easy."""
    if not spans:
        return []
    weights = np.array([b - a for a, b in spans], float)
    return [spans[i] for i in random.choice(len(spans), min(PHRASES, len(spans)), False, weights / weights.sum())]


def agree(
    similarity: Similarity,
    sources: Sequence[str],
    targets: Sequence[str],
    entities: pa.Array,
    language: str,
    random: np.random.Generator,
) -> Agreed:
    """Align the candidates of pairs and keep those that agree.

    Args:
        sources, targets: aligned raw strings.
        entities: schema.ENTITIES lists of the sources.
        language: of the targets.
    """
    row, start, end, kind = candidates(sources, entities, random)
    matches = similarity.match(sources, targets)
    theirs, ours = WordSpans.from_texts(targets, language), WordSpans.from_texts(sources, "en")
    t_start, t_end, score = project_spans(matches, theirs, row, start, end, growth=GROWTH)
    if not get_language(language).uses_spaces:
        t_start, t_end = tidy(targets, row, t_start, t_end)
    back_start, back_end, _ = project_spans(matches.reversed(), ours, row, t_start, t_end)
    wide_start, wide_end = _whole_words(ours, row, start, end)
    keep = (t_start < t_end) & (back_start == wide_start) & (back_end == wide_end) & (score >= FLOOR)
    keep &= (start == wide_start) & (end == wide_end) & _closed(matches, row, start, end, t_start, t_end)
    columns = (row, start, end, t_start, t_end, kind, score)
    return Agreed(*(c[keep] for c in columns))


def _whole_words(
    words: WordSpans, row: np.ndarray, start: np.ndarray, end: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Spans widened to the words that they touch; -1 where they touch none."""
    first, last = token_range(words.starts, words.ends, words.offsets, row, start, end)
    some = first < last
    safe = np.minimum(first, max(0, len(words.starts) - 1)), np.maximum(last - 1, 0)
    return np.where(some, words.starts[safe[0]], -1), np.where(some, words.ends[safe[1]], -1)


def _closed(matches: Matches, row, start, end, t_start, t_end) -> np.ndarray:
    """Whether no token of the source span matches outside the target span."""
    first, last = token_range(matches.source.starts, matches.source.ends, matches.source.ids.offsets, row, start, end)
    span, token = np.repeat(np.arange(len(row)), last - first), ranges(first, last - first)
    at = matches.forward[token]
    span, at = span[at >= 0], at[at >= 0]
    outside = (matches.target.ends[at] <= t_start[span]) | (matches.target.starts[at] >= t_end[span])
    return np.bincount(span[outside], minlength=len(row)) == 0
