"""Examples to training data: `<s> name </s></s> sentence </s>`, loss on the sentence alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from xner_ray.alignment.decoding import WordPooling
from xner_ray.alignment.examples.builder import Example
from xner_ray.alignment.queries import NAME_FRACTION, truncate
from xner_ray.alignment.spans import Spans, touched_tokens, touched_words
from xner_ray.encoders.ragged import ranges
from xner_ray.encoders.tokenizer import Tokenizer
from xner_ray.ner.word_spans import WordSpans
from xner_ray.training.data import IGNORE_INDEX, TrainSet


def encode_examples(
    tokenizer: Tokenizer, examples: Sequence[tuple[Example, str]], limit: int, word: WordPooling = "mean"
) -> tuple[TrainSet, int]:
    """Training data for an aligner.

    Args:
        examples: each with the language of its sentence.
        limit: longest row, special tokens included.
        word: `mean`: each piece of a word carries its word's label; `first`: only the first piece does.

    Returns:
        The set, with segment ids and labels 0 and 1, and the number of examples left out because they are too long: a
        cut sentence could lose its span.
    """
    sentences = [e.sentence for e, _ in examples]
    tokens = tokenizer(sentences)
    names, _ = truncate(tokenizer([e.name for e, _ in examples]).ids, limit // NAME_FRACTION)
    labels = _labels(tokens, examples, word)
    frame = len(tokenizer.prefix) + len(tokenizer.middle) + len(tokenizer.suffix)
    fits = np.flatnonzero((tokens.ids.lengths + names.lengths + frame <= limit) & (tokens.ids.lengths > 0))
    first, second = names.take(fits), tokens.ids.take(fits)
    ids, types = tokenizer.pair_with_special_tokens(first, second)
    framed = np.full(len(ids.values), IGNORE_INDEX, np.int32)
    of_second = ranges(ids.offsets[:-1] + tokenizer.second_segment_starts(first), second.lengths)
    framed[of_second] = labels[ranges(tokens.ids.offsets[fits], second.lengths)]
    return TrainSet(ids, framed, types.values), len(examples) - len(fits)


def _labels(tokens, examples: Sequence[tuple[Example, str]], word: WordPooling) -> np.ndarray:
    """int32 [pieces of the sentences]: 1 in words that a span touches, else 0."""
    sizes = np.array([len(e.spans) for e, _ in examples], np.int64)
    rows = np.repeat(np.arange(len(examples)), sizes)
    edges = np.array([s for e, _ in examples for s in e.spans], np.int64).reshape(-1, 2)
    labels = np.zeros(len(tokens.ids.values), np.int32)
    languages = np.array([language for _, language in examples])
    for language in sorted(set(languages.tolist())):
        # Words depend on the language; the other rows are empty here.
        texts = [e.sentence if x == language else "" for e, x in examples]
        words = WordSpans.from_texts(texts, language)
        mine = languages[rows] == language
        low, high = touched_words(words, Spans(rows[mine], edges[mine, 0], edges[mine, 1]))
        inside = ranges(low, high - low)
        first, last = touched_tokens(tokens, Spans(words.rows[inside], words.starts[inside], words.ends[inside]))
        labels[ranges(first, last - first)] = 1
        if word == "first":
            _ignore_later_pieces(labels, tokens, words)
    return labels


def _ignore_later_pieces(labels: np.ndarray, tokens, words) -> None:
    first, last = touched_tokens(tokens, Spans(words.rows, words.starts, words.ends))
    deciding = np.zeros(len(labels), bool)
    deciding[first[first < last]] = True
    of_words = np.zeros(len(labels), bool)
    of_words[ranges(first, last - first)] = True
    labels[of_words & ~deciding] = IGNORE_INDEX
