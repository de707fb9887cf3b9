"""The tagger: raw strings in, entities with character offsets out. Teacher, student and `xner tag` are all this."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from xner_ray.encoders.engine_stats import Counts
from xner_ray.encoders.ragged import ranges
from xner_ray.encoders.testing.null import Answers, NullEngine
from xner_ray.encoders.tokenizer import Tokenizer, Tokens
from xner_ray.encoders.windowing import windows
from xner_ray.ner.base_tagger import BaseTagger, Entity, listed
from xner_ray.ner.decoding import entities, word_labels
from xner_ray.ner.token_labels import Words, deciding_pieces
from xner_ray.text.tags import label_list


class Tagger(BaseTagger):
    """A trained token classifier.

    Args:
        engine: answers for token ids.
        labels: what its columns mean: O, B-X, I-X, ...
        meaning: float32 [columns of the engine, labels], where these differ; see `_labels`.
    """

    def __init__(self, engine: Answers, tokenizer: Tokenizer, labels: list[str], meaning: np.ndarray | None = None):
        self.engine, self.tokenizer, self.labels, self.meaning = engine, tokenizer, labels, meaning

    @classmethod
    def load(
        cls, folder: str | Path, budget: int = 4096, precision: str = "auto", device: str | None = None
    ) -> Tagger:
        """The tagger of a Hugging Face folder with a token classification head over O, B-X, I-X.

        Args:
            budget: padded tokens of a forward pass.
            precision: auto | fp32 | bf16 | fp16.
        """
        from xner_ray.encoders.engine import Engine
        from xner_ray.encoders.load import load_model

        return cls(
            Engine(load_model(folder), budget, precision, device), Tokenizer(str(folder)), *_labels(_config(folder))
        )

    @classmethod
    def exported(cls, folder: str | Path, budget: int = 4096) -> Tagger:
        """The tagger of a folder that `xner export-model` wrote; neither torch nor transformers is imported."""
        from xner_ray.encoders.onnx_engine import OnnxEngine

        return cls(OnnxEngine(folder, budget), Tokenizer(str(folder), plain=True), *_labels(_config(folder)))

    @classmethod
    def null(cls, folder: str | Path) -> Tagger:
        """The tagger that makes its answers up (`encoders/testing/null.py`), with the tokenizer of a folder."""
        tokenizer = Tokenizer(str(folder), plain=True)
        return cls(NullEngine(tokenizer.begins()), tokenizer, NullEngine.LABELS)

    @property
    def counts(self) -> Counts:
        return self.engine.counts

    def probabilities(self, tokens: Tokens) -> np.ndarray:
        """Label probabilities of all pieces: float32 [pieces, labels]."""
        with self.counts.timed("tokenize"):
            frame = len(self.tokenizer.prefix) + len(self.tokenizer.suffix)
            cut = windows(tokens.ids, self.engine.max_length - frame)
            framed = self.tokenizer.one(cut.ids)
        self.counts.windowed_rows += cut.windowed_rows
        scores = self.engine.probabilities(framed)
        content = ranges(framed.offsets[:-1] + len(self.tokenizer.prefix), cut.ids.lengths)
        mine = scores[content][cut.positions]
        return mine if self.meaning is None else mine @ self.meaning

    def _tokens(self, texts: Sequence[str], trim: bool = True) -> Tokens:
        with self.counts.timed("tokenize"):
            return self.tokenizer(texts, trim)

    def find(self, texts: Sequence[str], words: Words, tokens: Tokens | None = None) -> dict[str, np.ndarray]:
        """Entities as flat arrays: row, start, end, first, last, type, score (see `ner.decode.entities`)."""
        tokens = self._tokens(texts) if tokens is None else tokens
        ids, best = word_labels(self.probabilities(tokens), deciding_pieces(tokens, words), self.labels)
        return entities(ids, best, words, self.labels)

    def tag(self, texts: Sequence[str], language: str) -> list[list[Entity]]:
        """Entities of each text as (start, end, type, score), read off the pieces.

        These are what `transformers.pipeline("token-classification", aggregation_strategy="simple")` finds in the folder.
        An adopted model may have learned the first pieces of words alone, so it is asked for `language`'s words.
        """
        if self.meaning is not None:
            return super().tag(texts, language)
        tokens = self._tokens(texts, trim=False)
        scores = self.probabilities(tokens)
        pieces = Words(tokens.starts, tokens.ends, tokens.ids.offsets)
        return listed(entities(scores.argmax(axis=1), scores.max(axis=1), pieces, self.labels), len(texts))


def _config(folder: str | Path) -> dict[str, Any]:
    return json.loads((Path(folder) / "config.json").read_text(encoding="utf-8"))


def _labels(config: dict[str, Any]) -> tuple[list[str], np.ndarray | None]:
    """Our labels, and what those of an adopted model mean: float32 [its labels, ours]; None for our own.

    Probabilities of labels that mean the same add up.
    """
    meant: list[str] | None = config.get("xner_labels")
    if meant is None:
        return [config["id2label"][str(i)] for i in range(len(config["id2label"]))], None
    ours = label_list(x[2:] for x in meant if x != "O")
    meaning = np.zeros((len(meant), len(ours)), np.float32)
    meaning[np.arange(len(meant)), [ours.index(x) for x in meant]] = 1
    return ours, meaning


def is_spacy(folder: str | Path) -> bool:
    """An adopted spaCy pipeline, which has a tokenizer of its own."""
    return "xner_spacy" in _config(folder)


def open_tagger(folder: str | Path, budget: int = 4096, precision: str = "auto") -> BaseTagger:
    """The tagger of a folder: one that we trained, that was exported, or that was adopted (see `ner.adopt`)."""
    if is_spacy(folder):
        from xner_ray.ner.spacy_tagger import SpacyTagger

        return SpacyTagger(folder)
    if (Path(folder) / "model.onnx").exists() and not list(Path(folder).glob("*.safetensors")):
        return Tagger.exported(folder, budget)
    return Tagger.load(folder, budget, precision)
