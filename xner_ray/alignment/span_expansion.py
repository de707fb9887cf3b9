"""Spans of the source to spans of the target, by token matches of the untrained similarity.

Mutual matches are one-to-one, so a name of one token matches one token of its translation, and the rest of a
transliteration (德克萨斯 for Texas) matches nothing. So a span starts as a run of words with mutual matches, and is expanded
over the words beside it whose tokens are all nearest to a token of the name. The cost is a word too many now and then.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from xner_ray.alignment.spans import Spans, repeats_previous, touched_tokens, touched_words
from xner_ray.alignment.token_matches import TokenMatches
from xner_ray.encoders.ragged import ranges
from xner_ray.ner.word_spans import WordSpans
from xner_ray.text.arrow_kernels import group_starts

MAX_EXPANSION_WORDS = 12  # on each side


def project_spans(
    matches: TokenMatches,
    words: WordSpans,
    strings: pa.StringArray,
    spans: Spans,
    max_gap_words: int = 1,
    max_expansion_words: int = 0,
) -> tuple[Spans, np.ndarray]:
    """Project spans of the source to the target: the run of words with most matched similarity, expanded.

    Spans consist of words, because a name's tokens match one by one while its endings often match nothing.

    Args:
        matches: of all pairs.
        words: of the targets.
        strings: the targets.
        spans: in the sources; `rows` are pairs.
        max_gap_words: number of words without a match that a run may contain. Two parts of equal text are never joined.
        max_expansion_words: number of words that a run may be expanded by on each side.

    Returns:
        Spans in the targets, in the same order; start and end are 0 where nothing matches. Scores, float32 [spans]: the sum
        of the cosine similarities of the span's tokens that match into the run, divided by the number of the span's tokens.
    """
    name_first, name_last = touched_tokens(matches.source, spans)
    runs = _best_runs(matches, words, strings, spans.rows, (name_first, name_last), max_gap_words)
    own = runs.span_ids
    first, last = runs.first_words, runs.last_words
    if max_expansion_words:
        target_rows = spans.rows[own]
        first, last = _expand_runs(
            matches, words, target_rows, (name_first[own], name_last[own]), (first, last), max_expansion_words
        )
    starts, ends = np.zeros(len(spans), np.int64), np.zeros(len(spans), np.int64)
    scores = np.zeros(len(spans), np.float32)
    starts[own], ends[own] = words.starts[first], words.ends[last]
    scores[own] = runs.similarity / (name_last - name_first)[own]
    return Spans(spans.rows, starts, ends), scores


@dataclass(frozen=True)
class _Runs:
    """At most one run of target words for each span: `span_ids`, first and last (inclusive) word, summed cosine similarity."""

    span_ids: np.ndarray
    first_words: np.ndarray
    last_words: np.ndarray
    similarity: np.ndarray


def _best_runs(
    matches: TokenMatches,
    words: WordSpans,
    strings: pa.StringArray,
    rows: np.ndarray,
    name_tokens: tuple[np.ndarray, np.ndarray],
    max_gap_words: int,
) -> _Runs:
    """The run of each span with most similarity, the earliest of equals."""
    first, last = name_tokens
    span_ids, tokens = np.repeat(np.arange(len(rows)), last - first), ranges(first, last - first)
    is_matched = matches.mutual[tokens] >= 0
    span_ids, tokens = span_ids[is_matched], tokens[is_matched]
    target = matches.mutual[tokens]
    # A token may contain several words (Chinese). It hits all of them, and its similarity counts at the first.
    hit_first, hit_last = touched_words(
        words, Spans(rows[span_ids], matches.target.starts[target], matches.target.ends[target])
    )
    num_hits = hit_last - hit_first
    word_ids, owners = ranges(hit_first, num_hits), np.repeat(span_ids, num_hits)
    values = np.repeat(matches.cosine[tokens], num_hits) * (word_ids == np.repeat(hit_first, num_hits))
    order = np.lexsort((word_ids, owners))
    word_ids, owners, values = word_ids[order], owners[order], values[order]
    is_start = group_starts(owners)
    gaps = np.diff(word_ids, prepend=word_ids[:1])
    part_heads = np.flatnonzero(is_start | (gaps > 1))  # parts have no gap
    part_tails = np.append(part_heads, len(word_ids))[1:] - 1
    first_words, last_words = word_ids[part_heads], word_ids[part_tails]
    parts = Spans(words.rows[first_words], words.starts[first_words], words.ends[last_words])
    is_joined = ~is_start[part_heads] & (gaps[part_heads] <= max_gap_words + 1)
    is_joined &= ~repeats_previous(parts, strings, is_joined)
    heads = part_heads[~is_joined]
    tails = np.append(heads[1:], len(word_ids)) - 1
    total = np.add.reduceat(values, heads) if len(heads) else np.zeros(0)
    order = np.lexsort((-heads, total, owners[heads]))  # by span, the best run last
    run_owners = owners[heads][order]
    is_best = np.ones(len(order), bool)
    is_best[:-1] = run_owners[1:] != run_owners[:-1]
    best = order[is_best]
    return _Runs(run_owners[is_best], word_ids[heads[best]], word_ids[tails[best]], total[best])


def _expand_runs(
    matches: TokenMatches,
    words: WordSpans,
    rows: np.ndarray,
    name_tokens: tuple[np.ndarray, np.ndarray],
    run_words: tuple[np.ndarray, np.ndarray],
    max_words: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Expand runs word by word, while all tokens of the next word are nearest to a token of the name."""
    name_first, name_last = name_tokens
    first, last = run_words
    token_first, token_last = touched_tokens(matches.target, Spans(words.rows, words.starts, words.ends))
    text_first, text_last = words.offsets[rows], words.offsets[rows + 1]

    def nearest_in_name(word_ids: np.ndarray, is_inside: np.ndarray) -> np.ndarray:
        result = np.zeros(len(word_ids), bool)
        inside = np.flatnonzero(is_inside)
        sizes = (token_last - token_first)[word_ids[inside]]
        nearest = matches.nearest_source[ranges(token_first[word_ids[inside]], sizes)]
        runs = np.repeat(inside, sizes)
        result[inside] = sizes > 0
        result[runs[(nearest < name_first[runs]) | (nearest >= name_last[runs])]] = False
        return result

    for _ in range(max_words):
        left = nearest_in_name(first - 1, first > text_first)
        right = nearest_in_name(last + 1, last + 1 < text_last)
        if not (left.any() or right.any()):
            break
        first, last = first - left, last + right
    return first, last
