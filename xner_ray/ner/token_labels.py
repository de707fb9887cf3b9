"""Word tags to token labels: the training data of taggers.

A tagger reads a raw string and learns a label for each subword token. The token that holds the first character of a word takes
the tag of the word, and the word's other tokens continue the entity (I-). Entities are read from the first subword of each word
(`decoding.py`). They can also be read from all tokens, as `transformers.pipeline` does. In Chinese every character is a word, and
one token may hold several words. Then the token takes the tag of the first. All functions use searchsorted on flat arrays,
without a loop over rows.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from xner_ray.encoders.ragged import Ragged, offsets_of
from xner_ray.encoders.tokenizer import Tokenizer, Tokens
from xner_ray.ner.word_spans import WordSpans
from xner_ray.training.data import IGNORE_INDEX, TrainSet


def first_subwords(tokens: Tokens, words: WordSpans) -> np.ndarray:
    """Return the first subword of each word: the first token that holds the word's first character.

    Returns:
        int64 [words], indices into `tokens.ids.values`. -1 where no token holds the character (white space, or a character
        that normalization removes).
    """
    # A lone metaspace holds no character, but its position is the start of the next token.
    real = np.flatnonzero(tokens.starts < tokens.ends)
    if not len(real):
        return np.full(len(words.starts), -1)
    width, rows = _text_width(tokens, words), tokens.ids.row_ids()[real]
    token_starts, token_ends = rows * width + tokens.starts[real], rows * width + tokens.ends[real]
    word_starts = words.rows * width + words.starts
    index = np.maximum(0, np.searchsorted(token_starts, word_starts, side="right") - 1)
    # The first of several tokens with the same start: normalization may turn one character into several tokens.
    index = np.searchsorted(token_starts, token_starts[index])
    return np.where((token_starts[index] <= word_starts) & (word_starts < token_ends[index]), real[index], -1)


def align_labels_with_tokens(tokens: Tokens, words: WordSpans, tags: np.ndarray, labels: Sequence[str]) -> np.ndarray:
    """Return the label of each token.

    Args:
        tokens: of the texts.
        words: of the texts.
        tags: int [words], label ids, or IGNORE_INDEX for words without a loss.
        labels: O, B-X, I-X, ... in the order of their ids.

    Returns:
        int32 [tokens]. The first subword of a word has the word's tag. Later subwords have the I- label of the word's type, or
        IGNORE_INDEX as the word. A lone metaspace between words has the I- label of an entity that continues behind it, else O.
    """
    if not len(words.starts):
        return np.zeros(len(tokens.starts), np.int32)
    width, rows = _text_width(tokens, words), tokens.ids.row_ids()
    inside = np.where(tags >= 0, continuation_labels(labels)[np.maximum(tags, 0)], tags)
    word_starts, word_ends = words.rows * width + words.starts, words.rows * width + words.ends
    token_starts = rows * width + tokens.starts
    # The first word that starts behind the token's first character, or at the position of a lone metaspace.
    next_word = np.searchsorted(word_starts, token_starts + (tokens.starts < tokens.ends))
    before, after = np.maximum(0, next_word - 1), np.minimum(next_word, len(word_starts) - 1)
    within_word = (next_word > 0) & (token_starts < word_ends[before])
    entity_continues = (words.rows[after] == rows) & (inside[after] == tags[after]) & (tags[after] > 0)
    result = np.where(within_word, inside[before], np.where(entity_continues, tags[after], 0)).astype(np.int32)
    _assign_to_first_subwords(result, first_subwords(tokens, words), tags)
    return result


def continuation_labels(labels: Sequence[str]) -> np.ndarray:
    """For each label the one that continues its entity: the id of I-X for B-X, else the label's own id. int64 [labels]."""
    return np.array([labels.index("I" + x[1:]) if x.startswith("B-") else i for i, x in enumerate(labels)])


def begin_labels(labels: Sequence[str]) -> np.ndarray:
    """For each label the one that begins its entity: the id of B-X for I-X, else the label's own id. int64 [labels]."""
    return np.array([labels.index("B" + x[1:]) if x.startswith("I-") else i for i, x in enumerate(labels)])


def _text_width(tokens: Tokens, words: WordSpans) -> int:
    """More than any character position, so that row * width + position is unique over all texts and sorted."""
    return int(max(tokens.ends.max(initial=0), words.ends.max(initial=0))) + 2


def encode_tags(
    tokenizer: Tokenizer, texts: Sequence[str], words: WordSpans, tags: np.ndarray, labels: Sequence[str], limit: int
) -> tuple[TrainSet, int]:
    """Training data of a tagger.

    Args:
        tokenizer: of the model.
        texts: raw strings.
        words: of the texts.
        tags: int32 [words], label ids, or IGNORE_INDEX for words without a loss.
        labels: O, B-X, I-X, ... in the order of their ids.
        limit: longest row in tokens, special tokens included. Longer rows are truncated.

    Returns:
        The training data, and the number of truncated rows.
    """
    tokens = tokenizer(texts)
    return _train_set(tokenizer, tokens, align_labels_with_tokens(tokens, words, tags, labels), limit)


def encode_first_subwords(
    tokenizer: Tokenizer, texts: Sequence[str], words: WordSpans, tags: np.ndarray, limit: int
) -> TrainSet:
    """Rows in which only the tokens that decide for a word have a label, as in `decoding.decode_word_labels`.

    Args:
        tokenizer: of the model.
        texts: raw strings.
        words: of the texts.
        tags: int32 [words], label ids.
        limit: longest row in tokens, special tokens included. Longer rows are truncated.
    """
    tokens = tokenizer(texts)
    token_labels = np.full(len(tokens.starts), IGNORE_INDEX, np.int32)
    _assign_to_first_subwords(token_labels, first_subwords(tokens, words), tags)
    return _train_set(tokenizer, tokens, token_labels, limit)[0]


def _assign_to_first_subwords(token_labels: np.ndarray, subwords: np.ndarray, tags: np.ndarray) -> None:
    # Assigned in reverse order: of several words in one token, the first word is assigned last and wins.
    order = np.flatnonzero(subwords >= 0)[::-1]
    token_labels[subwords[order]] = tags[order]


def _train_set(tokenizer: Tokenizer, tokens: Tokens, token_labels: np.ndarray, limit: int) -> tuple[TrainSet, int]:
    """Add special tokens, and truncate rows. Returns the data and the number of truncated rows."""
    lengths = tokens.ids.lengths
    kept_lengths = np.minimum(lengths, limit - len(tokenizer.prefix) - len(tokenizer.suffix))
    position = np.arange(len(token_labels)) - np.repeat(tokens.ids.offsets[:-1], lengths)
    kept = position < np.repeat(kept_lengths, lengths)
    ids = tokenizer.with_special_tokens(Ragged(tokens.ids.values[kept], offsets_of(kept_lengths)))
    row_labels = np.full(len(ids.values), IGNORE_INDEX, np.int32)
    row_labels[_is_content(ids, tokenizer)] = token_labels[kept]
    return TrainSet(ids, row_labels), int(np.sum(kept_lengths < lengths))


def _is_content(ids: Ragged, tokenizer: Tokenizer) -> np.ndarray:
    """bool [tokens]: False at special tokens of `<s> A </s>`."""
    position = np.arange(len(ids.values)) - np.repeat(ids.offsets[:-1], ids.lengths)
    remaining = np.repeat(ids.lengths, ids.lengths) - position
    return (position >= len(tokenizer.prefix)) & (remaining > len(tokenizer.suffix))
