"""What every tagger does with what it found, whoever made it: entities of texts, and tags of given words."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from xner_ray.encoders.engine_stats import Counts
from xner_ray.encoders.ragged import offsets_of, ranges
from xner_ray.encoders.tokenizer import Tokens
from xner_ray.ner.token_labels import Words
from xner_ray.text.words import tokenize_words

Entity = tuple[int, int, str, float]


class BaseTagger:
    """A tagger: something that finds entities among given words."""

    @property
    def counts(self) -> Counts:
        """What it did that a report should tell; nothing, where a tagger cuts, windows and redoes nothing."""
        return Counts()

    def find(self, texts: Sequence[str], words: Words, tokens: Tokens | None = None) -> dict[str, np.ndarray]:
        """Entities as flat arrays: row, start, end, first, last, type, score (see `ner.decode.entities`).

        Args:
            tokens: of the texts, where they were tokenized before; a tagger that has no use for them tokenizes itself.
        """
        raise NotImplementedError

    def tag(self, texts: Sequence[str], language: str) -> list[list[Entity]]:
        """Entities of each text as (start, end, type, score)."""
        return listed(self.find(texts, Words.of([tokenize_words(t, language) for t in texts])), len(texts))

    def tag_words(self, sentences: Sequence[tuple[str, Sequence[tuple[int, int]]]]) -> list[list[str]]:
        """BIO2 tags of given words, e.g. of a gold set: each sentence is its text and the character spans of its words."""
        return self.tag_words_scored(sentences)[0]

    def tag_words_scored(
        self, sentences: Sequence[tuple[str, Sequence[tuple[int, int]]]]
    ) -> tuple[list[list[str]], np.ndarray]:
        """As `tag_words`, and the score of each entity, float32, in the order of the B- tags."""
        words = Words.of([spans for _, spans in sentences])
        found = self.find([text for text, _ in sentences], words)
        tags = np.full(len(words.starts), "O", dtype=object)
        inside = ranges(found["first"], found["last"] + 1 - found["first"])
        tags[inside] = np.char.add("I-", np.repeat(found["type"].astype(str), found["last"] + 1 - found["first"]))
        if len(found["first"]):
            tags[found["first"]] = np.char.add("B-", found["type"].astype(str))
        return [tags[a:b].tolist() for a, b in pairwise(words.offsets.tolist())], found["score"]


def listed(found: dict[str, np.ndarray], rows: int) -> list[list[Entity]]:
    """Flat entity arrays (see `ner.decode.entities`) as a list a text."""
    cuts = offsets_of(np.bincount(found["row"], minlength=rows))
    columns = [found[name].tolist() for name in ("start", "end", "type", "score")]
    flat = list(zip(*columns, strict=True))
    return [flat[a:b] for a, b in pairwise(cuts.tolist())]
