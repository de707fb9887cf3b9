"""Evaluation sentences, which must not be in training data.

Sentences are compared by their letters and digits after NFKC, in lower case. So the tokens of gold match raw text, and full-width
digits match ASCII. This finds copies. It finds neither paraphrases nor a sentence within a longer line.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pyarrow as pa

from xner_ray.config import GoldConfig
from xner_ray.text.conll import Sentence, read_gold_file
from xner_ray.text.sentence_keys import text_keys


class HeldOut:
    """The sentences of evaluation files.

    Args:
        keys: by language, sorted keys of its sentences (uint64); see `sentence_keys`.
    """

    def __init__(self, keys: Mapping[str, np.ndarray] | None = None):
        self.keys = dict(keys or {})

    @classmethod
    def of(cls, files: Iterable[tuple[GoldConfig, str]]) -> HeldOut:
        """The sentences of gold files. Those without any letter or digit are left out.

        Args:
            files: description and path of each file.
        """
        by_language: dict[str, list[np.ndarray]] = {}
        empty = text_keys(pa.array([""]))[0]
        for gold, path in files:
            keys = sentence_keys(read_gold_file(gold, path))
            by_language.setdefault(gold.language, []).append(keys[keys != empty])
        return cls({language: np.unique(np.concatenate(keys)) for language, keys in by_language.items()})

    def holds(self, texts: pa.Array, languages: pa.Array) -> np.ndarray:
        """Which sentences are evaluation sentences of their language.

        Args:
            texts: string [n].
            languages: string [n], language codes.

        Returns:
            bool [n].
        """
        mask = np.zeros(len(texts), bool)
        encoded = languages.dictionary_encode()
        for code, language in enumerate(encoded.dictionary.to_pylist()):
            if language in self.keys:
                rows = encoded.indices.to_numpy() == code
                mask[rows] = np.isin(text_keys(texts.filter(pa.array(rows)), nfkc=True), self.keys[language])
        return mask

    def among(self, sentences: Sequence[Sentence]) -> list[int]:
        """Indices of the gold sentences that are evaluation sentences as well."""
        texts, languages = [s.join_tokens()[0] for s in sentences], [s.language for s in sentences]
        mask = self.holds(pa.array(texts, pa.string()), pa.array(languages, pa.string()))
        return np.flatnonzero(mask).tolist()


def sentence_keys(sentences: Sequence[Sentence]) -> np.ndarray:
    """uint64 [sentences], equal for sentences with the same letters and digits."""
    return text_keys(pa.array([sentence.join_tokens()[0] for sentence in sentences], pa.string()), nfkc=True)
