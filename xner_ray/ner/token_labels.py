"""Tagged sentences to training data, and back: how words and pieces meet.

A tagger reads a raw string and learns a label for every piece: the piece that holds a word's first character takes the word's,
the others go on inside its entity. So entities can be read off the pieces, which is what `transformers.pipeline` does, and off
words at their first pieces. In Chinese every character is a word while a piece may hold several: then the piece's first
character decides for all of them. Everything is searchsorted over flat arrays, no loop over rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np

from xner_ray.encoders.ragged import Ragged, offsets_of, ranges
from xner_ray.encoders.tokenizer import Tokenizer, Tokens
from xner_ray.text.words import tokenize_words
from xner_ray.training.data import IGNORE_INDEX, TrainSet


@dataclass(frozen=True)
class Words:
    """Words of texts. `starts`, `ends`: int64 [words], characters of their text; `offsets`: int64 [texts + 1]."""

    starts: np.ndarray
    ends: np.ndarray
    offsets: np.ndarray

    @classmethod
    def of(cls, spans: Sequence[Sequence[tuple[int, int]]]) -> Words:
        lengths = np.fromiter(map(len, spans), np.int64, len(spans))
        numbers = chain.from_iterable(chain.from_iterable(spans))
        flat = np.fromiter(numbers, np.int64, 2 * int(lengths.sum())).reshape(-1, 2)
        return cls(flat[:, 0].copy(), flat[:, 1].copy(), offsets_of(lengths))

    def take(self, rows: np.ndarray) -> Words:
        """Those of the given texts."""
        lengths = np.diff(self.offsets)[rows]
        at = ranges(self.offsets[rows], lengths)
        return Words(self.starts[at], self.ends[at], offsets_of(lengths))

    @property
    def rows(self) -> np.ndarray:
        return np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))


def words_of(texts: Sequence[str], language: str) -> Words:
    """The words of raw texts (see words.py)."""
    return Words.of([tokenize_words(text, language) for text in texts])


def deciding_pieces(tokens: Tokens, words: Words) -> np.ndarray:
    """The piece that decides for each word: the first one that holds its first character.

    Returns:
        int64 [words], positions in `tokens.ids.values`; -1 where the text's pieces hold no such character (white space or
        a character that normalization removes).
    """
    # A metaspace alone holds no character, and lies where the piece after it begins.
    real = np.flatnonzero(tokens.starts < tokens.ends)
    if not len(real):
        return np.full(len(words.starts), -1)
    width, rows = _width(tokens, words), tokens.ids.row_of()[real]
    begins, ends = rows * width + tokens.starts[real], rows * width + tokens.ends[real]
    sought = words.rows * width + words.starts
    at = np.maximum(0, np.searchsorted(begins, sought, side="right") - 1)
    at = np.searchsorted(begins, begins[at])  # the first, where normalization makes several pieces of one character
    return np.where((begins[at] <= sought) & (sought < ends[at]), real[at], -1)


def piece_labels(tokens: Tokens, words: Words, tags: np.ndarray, labels: Sequence[str]) -> np.ndarray:
    """The label of every piece.

    Args:
        tags: int [words], label ids, or IGNORE_INDEX.
        labels: O, B-X, I-X, ...

    Returns:
        int32 [pieces]: where a word begins its tag, inside a word I- of the word's type (IGNORE_INDEX in one that is), between
        words (a metaspace alone) I- where an entity goes on there, else O.
    """
    if not len(words.starts):
        return np.zeros(len(tokens.starts), np.int32)
    width, rows = _width(tokens, words), tokens.ids.row_of()
    inside = np.where(tags >= 0, inside_of(labels)[np.maximum(tags, 0)], tags)
    begins, ends = words.rows * width + words.starts, words.rows * width + words.ends
    sought = rows * width + tokens.starts
    # The first word that begins behind the piece's first character, or where a metaspace alone lies.
    next_word = np.searchsorted(begins, sought + (tokens.starts < tokens.ends))
    before, after = np.maximum(0, next_word - 1), np.minimum(next_word, len(begins) - 1)
    within = (next_word > 0) & (sought < ends[before])
    goes_on = (words.rows[after] == rows) & (inside[after] == tags[after]) & (tags[after] > 0)
    found = np.where(within, inside[before], np.where(goes_on, tags[after], 0)).astype(np.int32)
    pieces = deciding_pieces(tokens, words)
    # Backwards, so that the first word of a piece that holds several has the last say.
    order = np.flatnonzero(pieces >= 0)[::-1]
    found[pieces[order]] = tags[order]
    return found


def inside_of(labels: Sequence[str]) -> np.ndarray:
    """int64 [labels]: the label that goes on what each begins; I-X of B-X, else itself."""
    return np.array([labels.index("I" + x[1:]) if x.startswith("B-") else i for i, x in enumerate(labels)])


def _width(tokens: Tokens, words: Words) -> int:
    """One number line for all texts: character j of text i lies at i * width + j."""
    return int(max(tokens.ends.max(initial=0), words.ends.max(initial=0))) + 2


def encode_tags(
    tokenizer: Tokenizer, texts: Sequence[str], words: Words, tags: np.ndarray, labels: Sequence[str], limit: int
) -> tuple[TrainSet, int]:
    """Training data for a tagger.

    Args:
        texts: raw strings.
        words: their words.
        tags: int32 [words], label ids, or IGNORE_INDEX.
        labels: O, B-X, I-X, ...
        limit: longest row, special tokens included; what is longer is cut at the end, and counted.

    Returns:
        The set and the number of rows that were cut.
    """
    tokens = tokenizer(texts)
    learned = piece_labels(tokens, words, tags, labels)
    room = limit - len(tokenizer.prefix) - len(tokenizer.suffix)
    keep = np.minimum(tokens.ids.lengths, room)
    position = np.arange(len(learned)) - np.repeat(tokens.ids.offsets[:-1], tokens.ids.lengths)
    inside = position < np.repeat(keep, tokens.ids.lengths)
    ids = tokenizer.one(Ragged(tokens.ids.values[inside], offsets_of(keep)))
    framed = np.full(len(ids.values), IGNORE_INDEX, np.int32)
    framed[_content(ids, tokenizer)] = learned[inside]
    return TrainSet(ids, framed), int(np.sum(keep < tokens.ids.lengths))


def _content(ids: Ragged, tokenizer: Tokenizer) -> np.ndarray:
    """bool [tokens]: True where a token of `<s> A </s>` belongs to A."""
    position = np.arange(len(ids.values)) - np.repeat(ids.offsets[:-1], ids.lengths)
    left = np.repeat(ids.lengths, ids.lengths) - position
    return (position >= len(tokenizer.prefix)) & (left > len(tokenizer.suffix))
