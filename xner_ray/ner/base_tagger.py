"""The interface of taggers, and the outputs that all of them derive from their entity spans."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np

from xner_ray.encoders.engine_stats import EngineStats
from xner_ray.encoders.tokenizer import Tokens
from xner_ray.errors import UserError
from xner_ray.ner.entity_spans import Entity, EntitySpans
from xner_ray.ner.word_spans import WordSpans


class BaseTagger(ABC):
    """Finds entities that consist of given words.

    Attributes:
        languages: of the model, as its config.json stores them; empty: not known.
    """

    languages: Sequence[str] = ()

    @property
    def stats(self) -> EngineStats:
        """Counters and timings of the engine; all zero for a tagger without one."""
        return EngineStats()

    @property
    @abstractmethod
    def types(self) -> list[str]:
        """The entity types that the tagger can predict, sorted."""

    @abstractmethod
    def predict_spans(self, texts: Sequence[str], words: WordSpans, tokens: Tokens | None = None) -> EntitySpans:
        """Predict the entities of texts.

        Args:
            texts: raw strings.
            words: of the texts; an entity is one or more of them.
            tokens: of the texts, if they are tokenized already. None: the tagger tokenizes. A tagger with a tokenizer of its
                own ignores them.
        """

    def tag(self, texts: Sequence[str], language: str | None = None) -> list[list[Entity]]:
        """The entities of each text. Each consists of whole words (`text.words`), as in evaluation.

        Args:
            texts: raw strings.
            language: ISO 639-1; decides what a word is. None: the language of the model.

        Raises:
            UserError: `language` is None, and the model stores no language or several.
        """
        if language is None:
            if len(self.languages) != 1:
                problem = f"the model is of several languages: {', '.join(self.languages)}"
                problem = problem if self.languages else "the model does not say its language"
                raise UserError(problem, key="language", remedy='name the language of the texts: tag(texts, "de")')
            language = self.languages[0]
        return self.predict_spans(texts, WordSpans.from_texts(texts, language)).to_lists(len(texts))

    def predict_tags(
        self, sentences: Sequence[tuple[str, Sequence[tuple[int, int]]]]
    ) -> tuple[list[list[str]], np.ndarray]:
        """BIO2 tags of given words, such as those of a gold set.

        Args:
            sentences: for each the text and the character spans of its words.

        Returns:
            tags: one list of BIO2 tags for each sentence.
            scores: float32 [entities], 0..1, in the order of the B- tags.
        """
        words = WordSpans.from_lists([spans for _, spans in sentences])
        entities = self.predict_spans([text for text, _ in sentences], words)
        return entities.to_bio2(words), entities.scores
