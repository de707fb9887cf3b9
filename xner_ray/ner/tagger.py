"""The tagger: raw strings in, entities with character offsets out. Teacher, student and `xner tag` are all this."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from xner_ray.encoder.counts import Counts
from xner_ray.encoder.null import Answers, NullEngine
from xner_ray.encoder.ragged import ranges
from xner_ray.encoder.tokenise import Tokeniser
from xner_ray.encoder.windows import windows
from xner_ray.ner.decode import entities, word_labels
from xner_ray.ner.encode import Words, deciding_pieces
from xner_ray.ner.found import Finder
from xner_ray.tags import label_list


class Tagger(Finder):
    """A trained token classifier.

    Args:
        engine: answers for token ids.
        labels: what its columns mean: O, B-X, I-X, ...
        meaning: float32 [columns of the engine, labels], where these differ; see `_meaning`.
    """

    def __init__(self, engine: Answers, tokeniser: Tokeniser, labels: list[str], meaning: np.ndarray | None = None):
        self.engine, self.tokeniser, self.labels, self.meaning = engine, tokeniser, labels, meaning

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
        meant = getattr(model.config, "xner_labels", None)
        if meant is not None:
            labels = label_list(x[2:] for x in meant if x != "O")
        return cls(Engine(model, budget, precision, device), Tokeniser(str(folder)), labels, _meaning(meant))

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
        mine = scores[content][cut.positions]
        return mine if self.meaning is None else mine @ self.meaning, deciding_pieces(tokens, words)

    def find(self, texts: Sequence[str], words: Words) -> dict[str, np.ndarray]:
        """Entities as flat arrays: row, start, end, first, last, type, score (see `ner.decode.entities`)."""
        scores, pieces = self.probabilities(texts, words)
        ids, best = word_labels(scores, pieces, self.labels)
        return entities(ids, best, words, self.labels)


def _meaning(labels: Sequence[str] | None) -> np.ndarray | None:
    """float32 [labels of an adopted model, ours]: probabilities of labels that mean the same add up. None for our own."""
    if labels is None:
        return None
    ours = label_list(x[2:] for x in labels if x != "O")
    meaning = np.zeros((len(labels), len(ours)), np.float32)
    meaning[np.arange(len(labels)), [ours.index(x) for x in labels]] = 1
    return meaning


def open_tagger(folder: str | Path, budget: int = 4096, precision: str = "auto") -> Finder:
    """The tagger of a folder: one that we trained, or one that was adopted (see `ner.adopt`)."""
    told = json.loads((Path(folder) / "config.json").read_text(encoding="utf-8"))
    if "xner_spacy" in told:
        from xner_ray.ner.spacy_tagger import SpacyTagger

        return SpacyTagger(folder)
    return Tagger.load(folder, budget, precision)
