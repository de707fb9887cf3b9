"""Soft word alignments of entities: softmax in both directions over similarities of tokens, as in AWESOME-align.

Dou and Neubig (2021) keep the token pairs whose probability is high in both directions. Here the probabilities themselves are
kept for each entity mention: how much of the mention each target word translates, and how surely the word translates a part of
the mention. The span of a mention is the window of words with the best F1 of both: recall is the part of the mention inside
the window, precision is the mean probability of the window's words. So a head noun that matches weakly is not lost, and a window
has no gap to bridge.
"""

from __future__ import annotations

import numpy as np
import torch

from xner_ray.alignment.span_search import WordMass
from xner_ray.alignment.spans import Spans, touched_tokens
from xner_ray.encoders.ragged import Ragged, offsets_of, ranges
from xner_ray.encoders.tokenizer import Tokens
from xner_ray.ner.word_spans import WordSpans

TEMPERATURE = 0.04  # of both softmaxes
MASKED = -1e4  # a similarity whose probability is 0, and whose row is finite at padding


def token_mass(
    source: tuple[torch.Tensor, torch.Tensor], target: tuple[torch.Tensor, torch.Tensor], weights: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Align weighted source tokens with all target tokens of their pair. Nothing here waits for the device.

    The vectors of a sentence are centered first. Hidden states of one sentence share a large part, which says nothing about
    its tokens.

    Args:
        source, target: rows of both sides and where they have tokens, see `matching.gather_rows`. Each side of each pair has
            two tokens or more, because a single token has nothing left after centering.
        weights: float32 [pairs, mentions, source tokens], weight of each token of a mention, 0 elsewhere.

    Returns:
        forward: float32 [pairs, mentions, target tokens], the weighted sum of the probabilities over target tokens.
        backward: likewise, the probability that the target token translates a token of the mention.
        Both are arbitrary at padding.
    """
    similarity = torch.bmm(_centered(*source), _centered(*target).transpose(1, 2)) / TEMPERATURE
    similarity.masked_fill_(~source[1][:, :, None] | ~target[1][:, None, :], MASKED)
    backward = torch.bmm((weights > 0).to(weights.dtype), similarity.softmax(dim=1))
    return torch.bmm(weights, similarity.softmax(dim=2)), backward


def _centered(vectors: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Vectors less the mean of their sentence, scaled to length 1; 0 at padding."""
    inside = mask[:, :, None].to(vectors.dtype)
    mean = (vectors * inside).sum(1, keepdim=True) / inside.sum(1, keepdim=True).clamp(min=1)
    return torch.nn.functional.normalize((vectors - mean) * inside, dim=2)


def mention_weights(tokens: Tokens, spans: Spans) -> Ragged:
    """Weight of each token of each mention: all words of a mention count the same, and all tokens of a word.

    Args:
        tokens: of the sources.
        spans: of the mentions, in the sources.

    Returns:
        float32 weights, one row of tokens for each mention; a row sums to 1.
    """
    first, last = touched_tokens(tokens, spans)
    lengths = last - first
    index, offsets = ranges(first, lengths), offsets_of(lengths)
    starts_word = np.ones(len(index), bool)
    starts_word[1:] = tokens.starts[index[1:]] > tokens.ends[index[:-1]]
    starts_word[offsets[:-1][lengths > 0]] = True
    word_ids = np.cumsum(starts_word) - 1
    tokens_of_word = np.bincount(word_ids)
    words_of_mention = np.add.reduceat(starts_word, offsets[:-1][lengths > 0]) if len(index) else np.zeros(0)
    weights = 1.0 / (tokens_of_word[word_ids] * np.repeat(words_of_mention, lengths[lengths > 0]))
    return Ragged(weights.astype(np.float32), offsets)


def pad_weights(weights: Ragged, first: np.ndarray, counts: np.ndarray, longest: int) -> np.ndarray:
    """The weights of a batch of pairs as `token_mass` takes them.

    Args:
        weights: of the mentions of the pairs.
        first: int64 [mentions], position of the mention's first token in its source.
        counts: int64 [pairs], number of mentions.
        longest: source tokens of the longest pair. Tokens beyond the end of a truncated source have no weight.
    """
    padded = np.zeros((len(counts), int(counts.max()), longest), np.float32)
    pairs = np.repeat(np.arange(len(counts)), counts)
    numbers = ranges(np.zeros(len(counts), np.int64), counts)
    position, mention = ranges(first, weights.lengths), weights.row_ids()
    inside = position < longest
    padded[pairs[mention][inside], numbers[mention][inside], position[inside]] = weights.values[inside]
    return padded


def word_mass(forward: Ragged, backward: Ragged, tokens: Tokens, words: WordSpans, rows: np.ndarray) -> WordMass:
    """From target tokens to target words.

    Args:
        forward, backward: of `token_mass`, one row of target tokens for each mention.
        tokens: of the targets.
        words: of the targets.
        rows: int64 [mentions], the target of each mention.
    """
    token_first, token_last = touched_tokens(tokens, Spans(words.rows, words.starts, words.ends))
    word_counts = np.diff(words.offsets)[rows]
    word_ids = ranges(words.offsets[rows], word_counts)
    mentions = np.repeat(np.arange(len(rows)), word_counts)
    # A token may contain several words (Chinese). They share its recall, and all have its precision.
    sharing = np.bincount(ranges(token_first, token_last - token_first), minlength=len(tokens.starts))
    shift = (forward.offsets[:-1] - tokens.ids.offsets[rows])[mentions]
    row_ends = forward.offsets[1:][mentions]  # a truncated row has fewer tokens than the target
    first = np.minimum(token_first[word_ids] + shift, row_ends)
    last = np.minimum(token_last[word_ids] + shift, row_ends)
    all_tokens = ranges(tokens.ids.offsets[rows], forward.lengths)
    recall = _window_sums(forward.values / np.maximum(1, sharing[all_tokens]), first, last)
    precision = _window_sums(backward.values, first, last) / np.maximum(1, last - first)
    offsets = offsets_of(word_counts)
    return WordMass(Ragged(recall, offsets), Ragged(np.minimum(precision, 1.0), offsets))


def _window_sums(values: np.ndarray, first: np.ndarray, last: np.ndarray) -> np.ndarray:
    total = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])
    return np.maximum(0.0, total[last] - total[first])
