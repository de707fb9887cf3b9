"""Tagged sentences to training data, and back: how words and pieces meet.

A tagger reads a raw string and decides once a word, at the piece that holds the word's first character; the other pieces of
the word carry no loss. In Chinese every character is a word while a piece may hold several: then the piece's first character
decides for all of them. Everything is searchsorted over flat arrays, no loop over rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np

from xner_ray.encoder.ragged import Ragged, offsets_of
from xner_ray.encoder.tokenise import Tokeniser, Tokens
from xner_ray.training.data import IGNORED, TrainSet
from xner_ray.words import words


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

    @property
    def rows(self) -> np.ndarray:
        return np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))


def words_of(texts: Sequence[str], language: str) -> Words:
    """The words of raw texts (see words.py)."""
    return Words.of([words(text, language) for text in texts])


def deciding_pieces(tokens: Tokens, words: Words) -> np.ndarray:
    """The piece that decides for each word: the one that holds its first character.

    Returns:
        int64 [words], positions in `tokens.ids.values`; -1 where the text's pieces hold no such character (white space or
        a character that normalisation removes).
    """
    row_of_piece = tokens.ids.row_of()
    # One number line for all texts: characters of text i lie at i * width + position.
    width = int(max(tokens.ends.max(initial=0), words.ends.max(initial=0))) + 2
    piece_starts = row_of_piece * width + tokens.starts
    at = np.searchsorted(piece_starts, words.rows * width + words.starts, side="right") - 1
    found = at >= 0
    safe = np.maximum(at, 0)
    if len(piece_starts):
        found &= (row_of_piece[safe] == words.rows) & (tokens.ends[safe] > words.starts)
    return np.where(found, safe, -1)


def encode_tags(
    tokeniser: Tokeniser, texts: Sequence[str], words: Words, tags: np.ndarray, limit: int
) -> tuple[TrainSet, int]:
    """Training data for a tagger.

    Args:
        texts: raw strings.
        words: their words.
        tags: int32 [words], label ids.
        limit: longest row, special tokens included; what is longer is cut at the end, and counted.

    Returns:
        The set and the number of rows that were cut.
    """
    tokens = tokeniser(texts)
    labels = np.full(len(tokens.ids.values), IGNORED, np.int32)
    pieces = deciding_pieces(tokens, words)
    # Backwards, so that the first word of a piece that holds several has the last say.
    order = np.flatnonzero(pieces >= 0)[::-1]
    labels[pieces[order]] = tags[order]
    room = limit - len(tokeniser.prefix) - len(tokeniser.suffix)
    keep = np.minimum(tokens.ids.lengths, room)
    position = np.arange(len(labels)) - np.repeat(tokens.ids.offsets[:-1], tokens.ids.lengths)
    inside = position < np.repeat(keep, tokens.ids.lengths)
    ids = tokeniser.one(Ragged(tokens.ids.values[inside], offsets_of(keep)))
    framed = np.full(len(ids.values), IGNORED, np.int32)
    framed[_content(ids, tokeniser)] = labels[inside]
    return TrainSet(ids, framed), int(np.sum(keep < tokens.ids.lengths))


def _content(ids: Ragged, tokeniser: Tokeniser) -> np.ndarray:
    """bool [tokens]: True where a token of `<s> A </s>` belongs to A."""
    position = np.arange(len(ids.values)) - np.repeat(ids.offsets[:-1], ids.lengths)
    left = np.repeat(ids.lengths, ids.lengths) - position
    return (position >= len(tokeniser.prefix)) & (left > len(tokeniser.suffix))
