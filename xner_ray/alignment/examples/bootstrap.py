"""Bootstrapped examples: spans of parallel text that the untrained similarity aligns the same way in both directions.

A source span and its target span agree when each is the projection of the other, every matched token of the source span
matches into the target span, and the score is above a floor. About half of the spans agree; the others are what the trained
aligner is for. This trades coverage for clean labels, and there is far more parallel text than an aligner needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from xner_ray.alignment.examples.noun_phrases import capitalized_spans, noun_phrases
from xner_ray.alignment.similarity import Similarity
from xner_ray.alignment.span_cleanup import clean_edges
from xner_ray.alignment.span_expansion import MAX_EXPANSION_WORDS, project_spans
from xner_ray.alignment.spans import Spans, touched_tokens, touched_words
from xner_ray.alignment.token_matches import TokenMatches
from xner_ray.encoders.ragged import ranges
from xner_ray.ner.word_spans import WordSpans
from xner_ray.text.languages import get_language

PHRASE = "phrase"  # kind of a noun phrase that is no entity
MIN_SCORE = 0.5  # mean similarity of the matched tokens, times the ratio of tokens that match
MAX_PHRASES = 4  # noun phrases tried in a pair


@dataclass(frozen=True)
class AlignedSpans:
    """Spans of sentence pairs that are each other's projection.

    Attributes:
        source: spans in the sources.
        target: the projection of each in the targets.
        kinds: str [spans], entity type or PHRASE.
    """

    source: Spans
    target: Spans
    kinds: np.ndarray


def bidirectional_agreement(
    similarity: Similarity,
    sources: Sequence[str],
    targets: Sequence[str],
    entities: pa.Array,
    language: str,
    random: np.random.Generator,
    source_language: str = "en",
) -> AlignedSpans:
    """Align entities and noun phrases of the sources, and keep those that agree in both directions.

    Args:
        similarity: aligns the tokens.
        sources, targets: raw strings, one of each for a pair.
        entities: schema.ENTITIES lists of the sources.
        language: of the targets, ISO 639-1.
        random: draws the noun phrases.
        source_language: of the sources, ISO 639-1.
    """
    source, kinds = _entities_and_phrases(sources, entities, random)
    matches = similarity.match(sources, targets)
    source_words = WordSpans.from_texts(sources, source_language)
    target, scores = project_spans(
        matches, WordSpans.from_texts(targets, language), source, max_expansion_words=MAX_EXPANSION_WORDS
    )
    if not get_language(language).uses_spaces:
        target = clean_edges(targets, target)
    back, _ = project_spans(matches.reversed(), source_words, target)
    agrees = (target.starts < target.ends) & (scores >= MIN_SCORE) & _is_closed(matches, source, target)
    agrees &= (back.starts == source.starts) & (back.ends == source.ends) & _is_whole_words(source_words, source)
    return AlignedSpans(source.take(agrees), target.take(agrees), kinds[agrees])


def _entities_and_phrases(
    sources: Sequence[str], entities: pa.Array, random: np.random.Generator
) -> tuple[Spans, np.ndarray]:
    """Spans of the entities, and of noun phrases that overlap no entity, with their kinds."""
    found: list[tuple[int, int, int, str]] = []
    for row, (text, row_entities) in enumerate(zip(sources, entities.to_pylist(), strict=True)):
        found += [(row, e["start"], e["end"], e["type"]) for e in row_entities]
        phrases = capitalized_spans(text)[:1] + _draw_phrases(noun_phrases(text), random)
        free = [(a, b) for a, b in phrases if all(b <= e["start"] or e["end"] <= a for e in row_entities)]
        found += [(row, a, b, PHRASE) for a, b in dict.fromkeys(free)]
    rows, starts, ends = (np.array([f[i] for f in found], np.int64) for i in range(3))
    return Spans(rows, starts, ends), np.array([f[3] for f in found], dtype=object)


def _draw_phrases(spans: list[tuple[int, int]], random: np.random.Generator) -> list[tuple[int, int]]:
    """A few spans, drawn with their length as weight, because short phrases are many and easy."""
    if not spans:
        return []
    weights = np.array([b - a for a, b in spans], float)
    return [spans[i] for i in random.choice(len(spans), min(MAX_PHRASES, len(spans)), False, weights / weights.sum())]


def _is_whole_words(words: WordSpans, spans: Spans) -> np.ndarray:
    """bool [spans], whether each starts where a word starts and ends where a word ends."""
    first, last = touched_words(words, spans)
    is_filled = first < last
    first, last = np.minimum(first, max(0, len(words.starts) - 1)), np.maximum(last - 1, 0)
    return is_filled & (words.starts[first] == spans.starts) & (words.ends[last] == spans.ends)


def _is_closed(matches: TokenMatches, source: Spans, target: Spans) -> np.ndarray:
    """bool [spans], whether no token of the source span matches outside the target span."""
    first, last = touched_tokens(matches.source, source)
    span_ids = np.repeat(np.arange(len(source)), last - first)
    matched = matches.mutual[ranges(first, last - first)]
    span_ids, matched = span_ids[matched >= 0], matched[matched >= 0]
    starts, ends = matches.target.starts[matched], matches.target.ends[matched]
    is_outside = (ends <= target.starts[span_ids]) | (starts >= target.ends[span_ids])
    return np.bincount(span_ids[is_outside], minlength=len(source)) == 0
