"""The entities of many texts as flat arrays, and their conversion to lists and BIO2 tags."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from xner_ray.encoders.ragged import offsets_of, ranges
from xner_ray.ner.word_spans import WordSpans


class Entity(NamedTuple):
    """One entity of a text: half-open character span, type, and score (0..1)."""

    start: int
    end: int
    type: str
    score: float


@dataclass(frozen=True)
class EntitySpans:
    """The entities of texts, sorted by text and position. All arrays have one element for each entity.

    Attributes:
        rows: int64, the text.
        starts, ends: int64, half-open character spans in the text.
        first_words, last_words: int64, the first and the last word (inclusive), as indices into the words of all texts.
        types: str, such as PER.
        scores: float32, 0..1, the mean label probability of the words.
    """

    rows: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    first_words: np.ndarray
    last_words: np.ndarray
    types: np.ndarray
    scores: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    def offsets(self, num_texts: int) -> np.ndarray:
        """Return the offsets of the texts: int64 [texts + 1]. The entities of text i are `offsets[i]` to `offsets[i + 1]`."""
        return offsets_of(np.bincount(self.rows, minlength=num_texts)) if num_texts else np.zeros(1, np.int64)

    def to_lists(self, num_texts: int) -> list[list[Entity]]:
        """One list of entities for each text."""
        columns = (array.tolist() for array in (self.starts, self.ends, self.types, self.scores))
        entities = [Entity(*values) for values in zip(*columns, strict=True)]
        return [entities[a:b] for a, b in pairwise(self.offsets(num_texts).tolist())]

    def to_bio2(self, words: WordSpans) -> list[list[str]]:
        """Return the BIO2 tag of each word, one list for each text.

        Args:
            words: the words that `first_words` and `last_words` point to.
        """
        tags = np.full(len(words.starts), "O", dtype=object)
        num_words = self.last_words + 1 - self.first_words
        inside = ranges(self.first_words, num_words)
        tags[inside] = np.char.add("I-", np.repeat(self.types.astype(str), num_words))
        if len(self):
            tags[self.first_words] = np.char.add("B-", self.types.astype(str))
        return [tags[a:b].tolist() for a, b in pairwise(words.offsets.tolist())]
