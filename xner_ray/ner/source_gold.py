"""Gold sentences of the source language to training data of a teacher."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from xner_ray.config import GoldConfig
from xner_ray.encoders.tokenizer import Tokenizer
from xner_ray.errors import UserError
from xner_ray.ner.token_labels import encode_first_subwords, encode_tags
from xner_ray.ner.word_spans import WordSpans
from xner_ray.text.conll import Sentence, read_gold_file
from xner_ray.text.tags import label_list
from xner_ray.text.words import CharSpan
from xner_ray.training.data import TrainSet

MAX_CALIBRATION = 2000  # sentences; one number is fitted


def read_gold(
    gold: Sequence[GoldConfig], resolve_path: Callable[[str], str] = lambda path: path, drop_types: Sequence[str] = ()
) -> list[Sentence]:
    """Return all sentences of gold files.

    Args:
        gold: the files as the config describes them.
        resolve_path: replaces placeholders in a path of the config.
        drop_types: entity types that become O, for target languages that lack them.
    """
    sentences: list[Sentence] = []
    for item in gold:
        tag_map = {**item.tag_map, **dict.fromkeys(drop_types, "O")}
        sentences += read_gold_file(item.model_copy(update={"tag_map": tag_map}), resolve_path(item.path))
    return sentences


def entity_types(sentences: Sequence[Sentence]) -> list[str]:
    """Return the entity types that occur, sorted.

    Raises:
        UserError: no sentence has an entity.
    """
    types = sorted({tag[2:] for s in sentences for tag in s.tags if tag != "O"})
    if not types:
        raise UserError(
            "the gold data holds no entity", key="gold", remedy="check the tag column, `tag_map` and `types`"
        )
    return types


def gold_labels(sentences: Sequence[Sentence]) -> list[str]:
    """Return the labels of a tagger for these sentences: O, B-X, I-X, ...

    Raises:
        UserError: no sentence has an entity.
    """
    return label_list(entity_types(sentences))


def encode_gold(
    sentences: Sequence[Sentence], tokenizer: Tokenizer, labels: list[str], limit: int
) -> tuple[TrainSet, int]:
    """Training data of gold sentences.

    Every second sentence is detokenized; the tokens of the others are joined plainly, because some corpora hold tokenized text.

    Args:
        sentences: words and tags.
        tokenizer: of the model.
        labels: O, B-X, I-X, ... in the order of their ids.
        limit: longest row in tokens, special tokens included. Longer rows are truncated.

    Returns:
        The training data, and the number of truncated rows.
    """
    raw = _as_text(sentences)
    ids = {label: i for i, label in enumerate(labels)}
    tags = np.fromiter((ids[t] for s in sentences for t in s.tags), np.int32)
    words = WordSpans.from_lists([spans for _, spans in raw])
    return encode_tags(tokenizer, [text for text, _ in raw], words, tags, labels, limit)


def encode_calibration(
    sentences: Sequence[Sentence], tokenizer: Tokenizer, labels: list[str], limit: int
) -> TrainSet | None:
    """Data to fit the temperature of a tagger (`training.calibration`), of at most `MAX_CALIBRATION` sentences.

    Args:
        sentences, tokenizer, limit: see `encode_gold`.
        labels: of the model. Other tags become O.

    Returns:
        the data; None: there are no sentences.
    """
    if not sentences:
        return None
    sentences = sentences[:: -(-len(sentences) // MAX_CALIBRATION)]
    raw = _as_text(sentences)
    ids = {label: i for i, label in enumerate(labels)}
    tags = np.fromiter((ids.get(t, 0) for s in sentences for t in s.tags), np.int32)
    words = WordSpans.from_lists([spans for _, spans in raw])
    return encode_first_subwords(tokenizer, [text for text, _ in raw], words, tags, limit)


def _as_text(sentences: Sequence[Sentence]) -> list[tuple[str, list[CharSpan]]]:
    return [s.detokenize() if i % 2 else s.join_tokens() for i, s in enumerate(sentences)]
