"""Character spans to word spans, by one rule for the training data, projection and evaluation.

An entity takes the words of which it covers at least half of the characters, without punctuation at its ends.

- Half, because aligners work on subwords and may end early or late. `Berlin` in `Berlins` (6 of 7) takes the word. `Berlin` in
  `Berlin-Marathon` (6 of 15) does not: as in CoNLL, a compound is not the place in its name.
- Punctuation at the ends is left out even if the span covers it: `Berlins,` takes `Berlins`. A bracket or quotation mark stays
  if its partner is inside: `Radnicki (N)`, `《时代潮》杂志`.
- If two entities cover one word, the one that starts first takes it.

An entity that takes no word has no label; callers count these.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from xner_ray.text.arrow_kernels import bool_mask
from xner_ray.text.tags import Span
from xner_ray.text.words import CharSpan

_OPEN, _CLOSE = pa.array(list("([{“„‘«《〈「『【（")), pa.array(list(")]}”’»》〉」』】）"))
_BEFORE, _AFTER = pa.array(list("\"'`´«»‹›„‚“”‘’")), pa.array(list("\"'`´«»‹›“”‘’"))
_HAS_LETTER = r"[\pL\pN\pM]"


def token_ranges(
    starts: np.ndarray, ends: np.ndarray, word_starts: np.ndarray, word_ends: np.ndarray, tokens: pa.Array
) -> tuple[np.ndarray, np.ndarray]:
    """Return the words of each span. For many sentences, number the characters consecutively with a gap between sentences.

    Args:
        starts: int64 [s], first character of each span, ascending.
        ends: int64 [s], last character, exclusive.
        word_starts: int64 [w], first character of each word; the words are in order and do not overlap.
        word_ends: int64 [w], last character, exclusive.
        tokens: string [w], text of each word.

    Returns:
        first: int64 [s], first word of each span.
        last: int64 [s], last word, exclusive; not above `first` if the span takes no word.
    """
    first = np.searchsorted(word_ends, starts, side="right")
    last = np.searchsorted(word_starts, ends, side="left")
    sizes = word_ends - word_starts

    def half(word: np.ndarray) -> np.ndarray:
        return 2 * (np.minimum(ends, word_ends[word]) - np.maximum(starts, word_starts[word])) >= sizes[word]

    if len(sizes) == 0:
        return first, first
    # Only the words at both ends can be partly covered.
    nonempty = first < last
    first = first + (nonempty & ~half(np.minimum(first, len(sizes) - 1)))
    nonempty = first < last
    last = last - (nonempty & ~half(np.maximum(last - 1, 0)))
    taken = np.maximum.accumulate(np.concatenate([[0], np.where(first < last, last, 0)]))[:-1]
    return _trim(np.maximum(first, taken), last, tokens)


def _trim(first: np.ndarray, last: np.ndarray, tokens: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Leave out punctuation at both ends, except brackets whose partner is inside."""
    bare = ~bool_mask(pc.match_substring_regex(tokens, _HAS_LETTER))
    opens, closes = (bool_mask(pc.is_in(tokens, value_set=marks)) for marks in (_OPEN, _CLOSE))
    depth = np.concatenate([[0], np.cumsum(opens.astype(np.int64) - closes)])  # brackets open before word i
    end = len(bare) - 1
    while True:
        at = np.minimum(first, end)
        end_word = np.maximum(last - 1, 0)
        partner = opens[at] & (at < end_word) & (depth[end_word] <= depth[at])  # closed again before the last word
        cut = (first < last) & bare[at] & ~partner
        if not cut.any():
            break
        first = first + cut
    while True:
        at = np.maximum(last - 1, 0)
        partner = closes[at] & (depth[at] > depth[np.minimum(first, end)])
        cut = (first < last) & bare[at] & ~partner
        if not cut.any():
            break
        last = last - cut
    return first, last


def with_marks(
    first: np.ndarray, last: np.ndarray, tokens: pa.Array, row_of: np.ndarray, marked: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Include the quotation marks around a name, as gold files of some languages do (`"El País"`).

    Args:
        first: int64 [s], first word of each span; spans are sorted, not empty and do not overlap.
        last: int64 [s], last word, exclusive.
        tokens: string [w], text of each word.
        row_of: int64 [w], sentence of each word.
        marked: bool [s], the span's language has this convention.

    Returns:
        New first and last words. Names that would share a mark (`"A"B"`) do not change.
    """
    opens, closes = (bool_mask(pc.is_in(tokens, value_set=marks)) for marks in (_BEFORE, _AFTER))
    before, after = np.maximum(first - 1, 0), np.minimum(last, len(tokens) - 1)
    inside = (before < first) & (after == last) & (row_of[before] == row_of[first]) & (row_of[after] == row_of[first])
    wide = marked & inside & opens[before] & closes[after]
    shared = last[:-1] + wide[:-1] > first[1:] - wide[1:]
    wide[1:] &= ~shared
    wide[:-1] &= ~shared
    return first - wide, last + wide


def char_to_token_spans(text: str, spans: Iterable[Span], words: Sequence[CharSpan]) -> list[Span]:
    """Convert the entities of one sentence from characters to words.

    Args:
        text: the raw text.
        spans: (start, end, type) in characters.
        words: character spans of the words, see `tokenize_words`.

    Returns:
        (first word, last word exclusive, type), sorted; without entities that take no word.
    """
    ordered = sorted(spans)
    if not ordered or not words:
        return []
    positions = np.array(words, dtype=np.int64)
    edges = np.array([(start, end) for start, end, _ in ordered], dtype=np.int64)
    tokens = pa.array([text[a:b] for a, b in words], pa.string())
    first, last = token_ranges(edges[:, 0], edges[:, 1], positions[:, 0], positions[:, 1], tokens)
    return [(int(a), int(b), kind) for a, b, (_, _, kind) in zip(first, last, ordered, strict=True) if a < b]
