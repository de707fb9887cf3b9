"""Examples to training data: rows `<s> name </s></s> sentence </s>`, with loss on the sentence only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from xner_ray.alignment.examples.example import Example
from xner_ray.alignment.queries import NAME_FRACTION, truncate
from xner_ray.alignment.spans import Spans, touched_tokens, touched_words
from xner_ray.encoders.ragged import ranges
from xner_ray.encoders.tokenizer import Tokenizer, Tokens
from xner_ray.ner.word_spans import WordSpans
from xner_ray.training.data import IGNORE_INDEX, TrainSet


def encode_examples(tokenizer: Tokenizer, examples: Sequence[Example], max_length: int) -> tuple[TrainSet, int]:
    """Encode examples for the training of an aligner. Every token of a word has the word's label.

    Args:
        tokenizer: of the aligner.
        examples: of any languages.
        max_length: longest row in tokens, special tokens included.

    Returns:
        The training data, with segment ids and the labels 0 and 1. The number of examples that were left out because they are
        longer; a truncated sentence could lose its span.
    """
    tokens = tokenizer([e.sentence for e in examples])
    names, _ = truncate(tokenizer([e.name for e in examples]).ids, max_length // NAME_FRACTION)
    labels = _token_labels(tokens, examples)
    num_special = len(tokenizer.prefix) + len(tokenizer.middle) + len(tokenizer.suffix)
    is_short = tokens.ids.lengths + names.lengths + num_special <= max_length
    kept = np.flatnonzero(is_short & (tokens.ids.lengths > 0))
    first, second = names.take(kept), tokens.ids.take(kept)
    ids, segment_ids = tokenizer.pair_with_special_tokens(first, second)
    row_labels = np.full(len(ids.values), IGNORE_INDEX, np.int32)
    sentence_positions = ranges(ids.offsets[:-1] + tokenizer.second_segment_starts(first), second.lengths)
    row_labels[sentence_positions] = labels[ranges(tokens.ids.offsets[kept], second.lengths)]
    return TrainSet(ids, row_labels, segment_ids.values), len(examples) - len(kept)


def _token_labels(tokens: Tokens, examples: Sequence[Example]) -> np.ndarray:
    """int32 [tokens of the sentences]: 1 in words that a span touches, else 0."""
    num_spans = np.array([len(e.spans) for e in examples], np.int64)
    rows = np.repeat(np.arange(len(examples)), num_spans)
    edges = np.array([span for e in examples for span in e.spans], np.int64).reshape(-1, 2)
    spans = Spans(rows, edges[:, 0], edges[:, 1])
    labels = np.zeros(len(tokens.ids.values), np.int32)
    languages = np.array([e.language for e in examples])
    for language in sorted(set(languages.tolist())):
        # Words depend on the language. Sentences of other languages are empty texts here.
        words = WordSpans.from_texts([e.sentence if e.language == language else "" for e in examples], language)
        first, last = touched_words(words, spans.take(languages[rows] == language))
        inside = ranges(first, last - first)
        first, last = touched_tokens(tokens, Spans(words.rows[inside], words.starts[inside], words.ends[inside]))
        labels[ranges(first, last - first)] = 1
    return labels
