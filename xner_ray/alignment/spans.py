"""Character spans in texts, and the tokens or words that they touch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from xner_ray.encoders.tokenizer import Tokens
from xner_ray.ner.word_spans import WordSpans
from xner_ray.text.arrow_kernels import dictionary_codes, substrings


@dataclass(frozen=True)
class Spans:
    """Character spans in a list of texts.

    Attributes:
        rows: int [spans], index of the text.
        starts, ends: int [spans], half-open character span in the text.
    """

    rows: np.ndarray
    starts: np.ndarray
    ends: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, index: np.ndarray) -> Spans:
        """Select spans by a bool mask or by number, in the given order."""
        return Spans(self.rows[index], self.starts[index], self.ends[index])

    def texts(self, strings: pa.StringArray) -> pa.LargeStringArray:
        """The substring of each span."""
        return substrings(strings, self.rows, self.starts, self.ends)


def repeats_previous(spans: Spans, strings: pa.StringArray, candidates: np.ndarray) -> np.ndarray:
    """Whether a span has the text of the span before it, apart from case.

    Args:
        spans: in `strings`.
        strings: the texts.
        candidates: bool [spans], the spans to compare; False for the first one.

    Returns:
        bool [spans], False where `candidates` is False.
    """
    index = np.flatnonzero(candidates)
    result = np.zeros(len(spans), bool)
    if len(index):
        both = pc.utf8_lower(spans.take(np.concatenate([index - 1, index])).texts(strings))
        codes = dictionary_codes(both).reshape(2, -1)
        result[index] = codes[0] == codes[1]
    return result


def touched_tokens(tokens: Tokens, spans: Spans) -> tuple[np.ndarray, np.ndarray]:
    """The tokens that share a character with each span.

    Returns:
        first, last: int64 [spans], indices into `tokens.ids.values`, the last one exclusive. Equal where there is none.
    """
    return _touched_units(tokens.starts, tokens.ends, tokens.ids.offsets, spans)


def touched_words(words: WordSpans, spans: Spans) -> tuple[np.ndarray, np.ndarray]:
    """The words that share a character with each span.

    Returns:
        first, last: int64 [spans], indices into `words.starts`, the last one exclusive. Equal where there is none.
    """
    return _touched_units(words.starts, words.ends, words.offsets, spans)


def _touched_units(
    unit_starts: np.ndarray, unit_ends: np.ndarray, offsets: np.ndarray, spans: Spans
) -> tuple[np.ndarray, np.ndarray]:
    # One number line for all texts, as in ner/token_labels.py: character j of text i is at i * width + j.
    rows = np.asarray(spans.rows, np.int64)
    width = int(max(np.max(unit_ends, initial=0), np.max(spans.ends, initial=0))) + 2
    base = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets)) * width
    first = np.searchsorted(base + unit_ends, rows * width + spans.starts, side="right")
    last = np.searchsorted(base + unit_starts, rows * width + spans.ends, side="left")
    low, high = offsets[rows], offsets[rows + 1]
    first, last = np.clip(first, low, high), np.clip(last, low, high)
    return first, np.maximum(first, last)
