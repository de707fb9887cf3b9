"""English gold to training data of a teacher, with types turned into O where a target language lacks them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from xner_ray.config import Gold
from xner_ray.encoders.tokenizer import Tokenizer
from xner_ray.errors import UserError
from xner_ray.ner.token_labels import Words, encode_tags
from xner_ray.text.conll import Sentence, read_gold_file
from xner_ray.text.tags import label_list
from xner_ray.training.data import TrainSet


def read_gold(gold: Sequence[Gold], fill=lambda path: path, drop_types: Sequence[str] = ()) -> list[Sentence]:
    """All sentences of the gold files; the types in `drop_types` become O."""
    sentences: list[Sentence] = []
    for item in gold:
        drop = dict.fromkeys(drop_types, "O")
        without = item.model_copy(update={"tag_map": {**item.tag_map, **drop}})
        sentences += read_gold_file(without, fill(item.path))
    return sentences


def types_of(sentences: Sequence[Sentence]) -> list[str]:
    """The entity types that occur, sorted.

    Raises:
        UserError: there is none.
    """
    types = sorted({tag[2:] for s in sentences for tag in s.tags if tag != "O"})
    if not types:
        raise UserError(
            "the gold data holds no entity", key="gold", remedy="check the tag column, `tag_map` and `types`"
        )
    return types


def encode_gold(
    sentences: Sequence[Sentence], tokenizer: Tokenizer, labels: list[str], limit: int
) -> tuple[TrainSet, int]:
    """Training data; every second sentence is spaced as a writer would, the others as CoNLL spaces its tokens.

    A tagger meets both: raw text in corpora, spaced tokens in gold sets.
    """
    raw = [s.detokenize() if i % 2 else s.join_tokens() for i, s in enumerate(sentences)]
    ids = {label: i for i, label in enumerate(labels)}
    tags = np.fromiter((ids[t] for s in sentences for t in s.tags), np.int32)
    return encode_tags(tokenizer, [t for t, _ in raw], Words.of([w for _, w in raw]), tags, labels, limit)


def labels_of(sentences: Sequence[Sentence]) -> list[str]:
    return label_list(types_of(sentences))
