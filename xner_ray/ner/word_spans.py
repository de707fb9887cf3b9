"""The words of many texts as flat arrays of character spans."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np

from xner_ray.encoders.ragged import offsets_of, ranges
from xner_ray.text.words import tokenize_words


@dataclass(frozen=True)
class WordSpans:
    """The words of texts. The words of text i are `offsets[i]` to `offsets[i + 1]`, sorted by start.

    Attributes:
        starts, ends: int64 [words], half-open character spans in the word's text.
        offsets: int64 [texts + 1].
    """

    starts: np.ndarray
    ends: np.ndarray
    offsets: np.ndarray

    @classmethod
    def from_lists(cls, spans: Sequence[Sequence[tuple[int, int]]]) -> WordSpans:
        """From one list of (start, end) for each text."""
        lengths = np.fromiter(map(len, spans), np.int64, len(spans))
        numbers = chain.from_iterable(chain.from_iterable(spans))
        flat = np.fromiter(numbers, np.int64, 2 * int(lengths.sum())).reshape(-1, 2)
        return cls(flat[:, 0].copy(), flat[:, 1].copy(), offsets_of(lengths))

    @classmethod
    def from_texts(cls, texts: Sequence[str], language: str) -> WordSpans:
        """Segment raw texts of one language (ISO 639-1) into words, see `xner_ray.text.words`."""
        return cls.from_lists([tokenize_words(text, language) for text in texts])

    def take(self, rows: np.ndarray) -> WordSpans:
        """Select texts by number, in the given order."""
        lengths = np.diff(self.offsets)[rows]
        words = ranges(self.offsets[rows], lengths)
        return WordSpans(self.starts[words], self.ends[words], offsets_of(lengths))

    @property
    def rows(self) -> np.ndarray:
        """The text of each word: int64 [words]."""
        return np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))
