"""The tagger: raw strings in, entities with character offsets out. Teacher, student and `xner tag` are all this."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from xner_ray.encoder.engine import Engine
from xner_ray.encoder.load import load_model
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
        folder: a Hugging Face folder with a token classification head over O, B-X, I-X.
        budget: padded tokens of a forward pass.
        precision: auto | fp32 | bf16 | fp16.
    """

    def __init__(self, folder: str | Path, budget: int = 4096, precision: str = "auto", device: str | None = None):
        model = load_model(folder)
        self.labels = [model.config.id2label[i] for i in range(model.config.num_labels)]
        self.meaning = _meaning(getattr(model.config, "xner_labels", None))
        if self.meaning is not None:
            self.labels = label_list(x[2:] for x in model.config.xner_labels if x != "O")
        self.engine = Engine(model, budget, precision, device)
        self.tokeniser = Tokeniser(str(folder))

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
    return Tagger(folder, budget, precision)
