"""The tagger: raw strings in, entities with character offsets out. Teacher, student and `xner tag` are all this."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from xner_ray.encoder.counts import Counts
from xner_ray.encoder.null import Answers, NullEngine
from xner_ray.encoder.ragged import offsets_of, ranges
from xner_ray.encoder.tokenise import Tokeniser
from xner_ray.encoder.windows import windows
from xner_ray.ner.decode import entities, word_labels
from xner_ray.ner.encode import Words, deciding_pieces
from xner_ray.words import words as words_of

Entity = tuple[int, int, str, float]


class Tagger:
    """A trained token classifier.

    Args:
        engine: answers for token ids.
        labels: what its columns mean: O, B-X, I-X, ...
    """

    def __init__(self, engine: Answers, tokeniser: Tokeniser, labels: list[str]):
        self.engine, self.tokeniser, self.labels = engine, tokeniser, labels

    @classmethod
    def load(
        cls, folder: str | Path, budget: int = 4096, precision: str = "auto", device: str | None = None
    ) -> Tagger:
        """The tagger of a Hugging Face folder with a token classification head over O, B-X, I-X.

        Args:
            budget: padded tokens of a forward pass.
            precision: auto | fp32 | bf16 | fp16.
        """
        from xner_ray.encoder.engine import Engine
        from xner_ray.encoder.load import load_model

        model = load_model(folder)
        labels = [model.config.id2label[i] for i in range(model.config.num_labels)]
        return cls(Engine(model, budget, precision, device), Tokeniser(str(folder)), labels)

    @classmethod
    def null(cls, folder: str | Path) -> Tagger:
        """The tagger that makes its answers up (`encoder/null.py`), with the tokenizer of a folder."""
        tokeniser = Tokeniser(str(folder), plain=True)
        return cls(NullEngine(tokeniser.begins()), tokeniser, NullEngine.LABELS)

    @property
    def counts(self) -> Counts:
        return self.engine.counts

    def probabilities(self, texts: Sequence[str], words: Words) -> tuple[np.ndarray, np.ndarray]:
        """Label probabilities [pieces, labels] of all pieces of the texts, and the deciding piece of each word [words]."""
        tokens = self.tokeniser(texts)
        frame = len(self.tokeniser.prefix) + len(self.tokeniser.suffix)
        cut = windows(tokens.ids, self.engine.max_length - frame)
        self.engine.counts.windowed_rows += cut.windowed_rows
        framed = self.tokeniser.one(cut.ids)
        scores = self.engine.probabilities(framed)
        content = ranges(framed.offsets[:-1] + len(self.tokeniser.prefix), cut.ids.lengths)
        return scores[content][cut.positions], deciding_pieces(tokens, words)

    def find(self, texts: Sequence[str], words: Words) -> dict[str, np.ndarray]:
        """Entities as flat arrays: row, start, end, first, last, type, score (see `ner.decode.entities`)."""
        scores, pieces = self.probabilities(texts, words)
        ids, best = word_labels(scores, pieces, self.labels)
        return entities(ids, best, words, self.labels)

    def tag(self, texts: Sequence[str], language: str) -> list[list[Entity]]:
        """Entities of each text as (start, end, type, score)."""
        found = self.find(texts, Words.of([words_of(t, language) for t in texts]))
        cuts = offsets_of(np.bincount(found["row"], minlength=len(texts)))
        flat = list(
            zip(
                found["start"].tolist(),
                found["end"].tolist(),
                found["type"].tolist(),
                found["score"].tolist(),
                strict=True,
            )
        )
        return [flat[a:b] for a, b in pairwise(cuts.tolist())]

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
