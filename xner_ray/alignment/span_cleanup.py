"""Edges of candidate spans: what belongs to a name and what does not.

In languages without spaces each character is a word, so a span may end inside a Latin word or a number: it is widened to the
whole word (Wa of Wayne), and punctuation at its edges is removed (《华盛顿邮报). In other languages spans consist of words, and
a leading article is removed (die Kommission), as in gold sets. Only a lowercase article is removed, because La Coruña and Die
Zeit are names.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from xner_ray.alignment.candidates import Candidates
from xner_ray.alignment.queries import QueryTexts
from xner_ray.alignment.spans import Spans
from xner_ray.encoders.ragged import offsets_of
from xner_ray.text.languages import get_language

# A Latin word or a number. Chinese and Japanese do not separate them from other characters by spaces.
_LATIN_WORD = re.compile(r"[0-9A-Za-z\u00c0-\u024f](?:[.'’&-]?[0-9A-Za-z\u00c0-\u024f])*")
_EDGE_MARKS = " \u3000\t·・、，。：；！？,.:;!?-–—…~～《》〈〉「」『』“”‘’\"'()（）[]【】/|"


def clean_edges(texts: Sequence[str], spans: Spans) -> Spans:
    """Widen spans to whole Latin words and numbers, then remove punctuation and spaces at both edges.

    Args:
        texts: raw strings.
        spans: in these texts.

    Returns:
        The spans in the same order. Start and end are equal where a span held punctuation alone.
    """
    rows = np.asarray(spans.rows, np.int64)
    # The texts are joined with a line feed after each, and searched at once.
    base = offsets_of(np.fromiter(map(len, texts), np.int64, len(texts)))[rows] + rows
    latin_words = np.array([m.span() for m in _LATIN_WORD.finditer("\n".join(texts))], np.int64).reshape(-1, 2)
    starts, ends = _widen_to_words(base + spans.starts, base + spans.ends, latin_words)
    widened = Spans(rows, starts - base, ends - base)
    surfaces = widened.texts(pa.array(texts, pa.string()))
    sizes = widened.ends - widened.starts
    left = sizes - pc.utf8_length(pc.utf8_ltrim(surfaces, _EDGE_MARKS)).to_numpy()
    right = sizes - pc.utf8_length(pc.utf8_rtrim(surfaces, _EDGE_MARKS)).to_numpy()
    starts = widened.starts + left
    return Spans(rows, starts, np.maximum(starts, widened.ends - right))


def clean_candidates(candidates: Candidates, texts: QueryTexts, remove_articles: bool = True) -> Candidates:
    """Clean the edges of candidates.

    Args:
        candidates: in the targets of `texts`.
        texts: of the queries.
        remove_articles: remove leading articles, in languages with spaces.

    Returns:
        Distinct candidates ordered by query and start, without empty spans.
    """
    spans, language = texts.spans_of(candidates), get_language(texts.language)
    if not language.uses_spaces:
        spans = clean_edges(texts.targets, spans)
    elif remove_articles and language.articles:
        skipped = _article_lengths(spans.texts(texts.target_strings), language.articles)
        spans = Spans(spans.rows, spans.starts + skipped, spans.ends)
    is_filled = spans.starts < spans.ends
    return candidates.with_edges(spans.starts, spans.ends).take(is_filled).distinct()


def _article_lengths(surfaces: pa.Array, articles: Sequence[str]) -> np.ndarray:
    """Number of characters of a leading article and its space, 0 where nothing follows: int [spans]."""
    rest = pc.replace_substring_regex(surfaces, rf"^(?:{'|'.join(articles)})\s+(\S)", r"\1")
    return pc.utf8_length(surfaces).to_numpy() - pc.utf8_length(rest).to_numpy()


def _widen_to_words(starts: np.ndarray, ends: np.ndarray, words: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Move edges that are inside a word (int64 [words, 2], ascending) to the edge of the word."""
    if not len(words):
        return starts, ends
    word_starts, word_ends = words.T
    at = np.clip(np.searchsorted(word_starts, starts, side="right") - 1, 0, None)
    starts = np.where((word_starts[at] < starts) & (starts < word_ends[at]), word_starts[at], starts)
    at = np.clip(np.searchsorted(word_starts, ends, side="left") - 1, 0, None)
    return starts, np.where((word_starts[at] < ends) & (ends < word_ends[at]), word_ends[at], ends)
