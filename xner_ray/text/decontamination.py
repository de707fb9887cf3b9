"""Sentences of evaluation files, which must not be trained on.

Sentences are compared by their letters and digits, after NFKC and in lower case, so that tokens of gold files equal raw text
and full-width digits equal ASCII. This finds copies. It finds neither paraphrases nor a sentence inside a longer line.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pyarrow as pa

from xner_ray.config import GoldConfig
from xner_ray.text.conll import Sentence, read_gold_file
from xner_ray.text.sentence_keys import text_keys


class EvaluationSentences:
    """The sentences of evaluation files.

    Args:
        keys: sorted keys (`text_keys` with NFKC, uint64) of the sentences, by language.
    """

    def __init__(self, keys: Mapping[str, np.ndarray] | None = None):
        self.keys = dict(keys or {})

    @classmethod
    def from_gold(cls, files: Iterable[tuple[GoldConfig, str]]) -> EvaluationSentences:
        """Read the sentences of gold files, except those without a letter or a digit.

        Args:
            files: of each its entry in the config, and its path.
        """
        keys_of: dict[str, list[np.ndarray]] = {}
        for gold, path in files:
            keys = sentence_keys(read_gold_file(gold, path))
            keys_of.setdefault(gold.language, []).append(keys[keys != text_keys(pa.array([""]))[0]])
        return cls({language: np.unique(np.concatenate(parts)) for language, parts in keys_of.items()})

    def contains(self, texts: pa.Array, languages: pa.Array) -> np.ndarray:
        """Return whether each text is an evaluation sentence of its language.

        Args:
            texts: string [n].
            languages: string [n], ISO 639-1.

        Returns:
            bool [n].
        """
        result = np.zeros(len(texts), bool)
        encoded = languages.dictionary_encode()
        for code, language in enumerate(encoded.dictionary.to_pylist()):
            if language in self.keys:
                rows = encoded.indices.to_numpy() == code
                result[rows] = np.isin(text_keys(texts.filter(pa.array(rows)), nfkc=True), self.keys[language])
        return result

    def indices_in(self, sentences: Sequence[Sentence]) -> list[int]:
        """Indices of the gold sentences that are evaluation sentences."""
        texts, languages = [s.join_tokens()[0] for s in sentences], [s.language for s in sentences]
        result = self.contains(pa.array(texts, pa.string()), pa.array(languages, pa.string()))
        return np.flatnonzero(result).tolist()


def sentence_keys(sentences: Sequence[Sentence]) -> np.ndarray:
    """Keys of gold sentences by their joined tokens: uint64 [sentences]."""
    return text_keys(pa.array([sentence.join_tokens()[0] for sentence in sentences], pa.string()), nfkc=True)
