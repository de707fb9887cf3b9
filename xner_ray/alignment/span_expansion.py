"""Spans of the target from token matches: where an entity went by the untrained similarity.

Mutual matches are one-to-one, so a name of one piece matches one piece of its translation, and the rest of a
transliteration (德克萨斯 for Texas) matches nothing. So a span begins as a run of mutual matches and grows over the
words beside it whose own nearest neighbors lie in the name. What it trades: now and then a word too many.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from xner_ray.alignment.decoding import token_range
from xner_ray.encoders.ragged import ranges
from xner_ray.ner.word_spans import WordSpans

if TYPE_CHECKING:
    from xner_ray.alignment.similarity import Matches  # imports torch

GROWTH = 12  # words that a span may grow on each side


def project_spans(
    matches: Matches,
    words: WordSpans,
    rows: np.ndarray,
    starts: np.ndarray,
    ends: np.ndarray,
    gap: int = 1,
    growth: int = 0,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Spans of the target for spans of the source: the longest run of words that hold a matched token, grown.

    Whole words, since a name's pieces match one by one while its endings and joints often match nothing.

    Args:
        matches: of all pairs.
        words: of the targets.
        rows, starts, ends: int [spans], the pair of each span and its characters.
        gap: words without a match that a run may step over.
        growth: words that a span may grow on each side.

    Returns:
        starts, ends: int64 [spans], characters of the target; both 0 where nothing matches. scores: float32 [spans],
        the mean similarity of the tokens that match into the run, times the share of the span's tokens that they are.
    """
    name = token_range(matches.source.starts, matches.source.ends, matches.source.ids.offsets, rows, starts, ends)
    owner, first, last, total = _runs(matches, words, rows, *name, gap)
    if growth:
        first, last = _grown(matches, words, rows[owner], name[0][owner], name[1][owner], first, last, growth)
    out_starts, out_ends = np.zeros(len(rows), np.int64), np.zeros(len(rows), np.int64)
    scores = np.zeros(len(rows), np.float32)
    out_starts[owner], out_ends[owner] = words.starts[first], words.ends[last]
    scores[owner] = total / (name[1] - name[0])[owner]
    return out_starts, out_ends, scores


def _runs(matches: Matches, words: WordSpans, rows, first, last, gap: int) -> tuple[np.ndarray, ...]:
    """The run of each span that holds most similarity: span, first and last (inclusive) word, its similarity."""
    sizes = last - first
    span, token = np.repeat(np.arange(len(rows)), sizes), ranges(first, sizes)
    token, span = (x[matches.forward[token] >= 0] for x in (token, span))
    at, near = matches.forward[token], matches.cosine[token]
    # A token may hold several words (Chinese): it hits them all, and its similarity counts at the first.
    low, high = token_range(
        words.starts, words.ends, words.offsets, rows[span], matches.target.starts[at], matches.target.ends[at]
    )
    hits = high - low
    word, of = ranges(low, hits), np.repeat(span, hits)
    value = np.repeat(near, hits) * (word == np.repeat(low, hits))
    order = np.lexsort((word, of))
    word, of, value = word[order], of[order], value[order]
    begins = np.ones(len(word), bool)
    begins[1:] = (of[1:] != of[:-1]) | (word[1:] - word[:-1] > gap + 1)
    heads = np.flatnonzero(begins)
    tails = np.append(heads[1:], len(word)) - 1
    total = np.add.reduceat(value, heads) if len(heads) else np.zeros(0)
    order = np.lexsort((-heads, total, of[heads]))  # a span's best run comes last
    owner = of[heads][order]
    final = np.ones(len(order), bool)
    final[:-1] = owner[1:] != owner[:-1]
    chosen = order[final]
    return owner[final], word[heads[chosen]], word[tails[chosen]], total[chosen]


def _grown(matches: Matches, words: WordSpans, rows, name_first, name_last, first, last, growth: int):
    """Runs widened, word by word, while all tokens of the next word are nearest to a token of the name."""
    low, high = token_range(
        matches.target.starts, matches.target.ends, matches.target.ids.offsets, words.rows, words.starts, words.ends
    )
    begin, end = words.offsets[rows], words.offsets[rows + 1]

    def kin(word: np.ndarray, inside: np.ndarray) -> np.ndarray:
        out = np.zeros(len(word), bool)
        at = np.flatnonzero(inside)
        sizes = (high - low)[word[at]]
        near = matches.back[ranges(low[word[at]], sizes)]
        of = np.repeat(at, sizes)
        out[at] = sizes > 0
        out[of[(near < name_first[of]) | (near >= name_last[of])]] = False
        return out

    for _ in range(growth):
        left, right = kin(first - 1, first > begin), kin(last + 1, last + 1 < end)
        if not (left.any() or right.any()):
            break
        first, last = first - left, last + right
    return first, last
