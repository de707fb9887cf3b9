"""Sentences that a run measures on are kept out of what it trains on.

They are compared by letters and digits alone, after NFKC and in lower case, so that gold's tokens meet raw text and full-width
digits meet ASCII. That finds copies: not paraphrases, and not a sentence within a longer line.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pyarrow as pa

from xner_ray.config import GoldConfig
from xner_ray.text.conll import Sentence, read_gold_file
from xner_ray.text.sentence_keys import text_keys


class HeldOut:
    """The sentences of evaluation files, as sorted keys (uint64) by language."""

    def __init__(self, keys: Mapping[str, np.ndarray] | None = None):
        self.keys = dict(keys or {})

    @classmethod
    def of(cls, files: Iterable[tuple[GoldConfig, str]]) -> HeldOut:
        """The sentences of gold files, each with its path filled in. Without those that hold no letter and no digit."""
        found: dict[str, list[np.ndarray]] = {}
        for gold, path in files:
            keys = sentence_keys(read_gold_file(gold, path))
            found.setdefault(gold.language, []).append(keys[keys != text_keys(pa.array([""]))[0]])
        return cls({language: np.unique(np.concatenate(parts)) for language, parts in found.items()})

    def holds(self, texts: pa.Array, languages: pa.Array) -> np.ndarray:
        """bool [texts]: whether each is a sentence that its language is measured on."""
        mask = np.zeros(len(texts), bool)
        coded = languages.dictionary_encode()
        for code, language in enumerate(coded.dictionary.to_pylist()):
            if language in self.keys:
                rows = coded.indices.to_numpy() == code
                mask[rows] = np.isin(text_keys(texts.filter(pa.array(rows)), nfkc=True), self.keys[language])
        return mask

    def among(self, sentences: Sequence[Sentence]) -> list[int]:
        """Which of these gold sentences are measured on."""
        texts, languages = [s.join_tokens()[0] for s in sentences], [s.language for s in sentences]
        mask = self.holds(pa.array(texts, pa.string()), pa.array(languages, pa.string()))
        return np.flatnonzero(mask).tolist()


def sentence_keys(sentences: Sequence[Sentence]) -> np.ndarray:
    return text_keys(pa.array([sentence.join_tokens()[0] for sentence in sentences], pa.string()), nfkc=True)
