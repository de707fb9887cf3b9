"""A spaCy pipeline in the place of our tagger. Its entities take our words by the rule of projection; it scores nothing, so 1."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from xner_ray.encoders.tokenizer import Tokens
from xner_ray.errors import UserError
from xner_ray.ner.base_tagger import BaseTagger
from xner_ray.ner.token_labels import Words
from xner_ray.text.token_spans import char_to_token_spans

_NEEDLESS = ["tagger", "parser", "lemmatizer", "attribute_ruler", "morphologizer", "senter", "textcat"]


class SpacyTagger(BaseTagger):
    """An adopted spaCy pipeline (see `adopt.py`).

    Raises:
        UserError: spaCy is not installed.
    """

    def __init__(self, folder: str | Path):
        try:
            import spacy
        except ImportError as e:
            raise UserError(f"spaCy is not installed ({e.name})", remedy="pip install 'xner_ray[spacy]'") from e
        self.types = json.loads((Path(folder) / "config.json").read_text(encoding="utf-8"))["xner_spacy"]
        self.nlp = spacy.load(Path(folder) / "spacy", exclude=_NEEDLESS)

    def find(self, texts: Sequence[str], words: Words, tokens: Tokens | None = None) -> dict[str, np.ndarray]:
        rows = []
        for i, (doc, (a, b)) in enumerate(zip(self.nlp.pipe(texts), pairwise(words.offsets.tolist()), strict=True)):
            mine = list(zip(words.starts[a:b].tolist(), words.ends[a:b].tolist(), strict=True))
            spans = [(e.start_char, e.end_char, self.types.get(e.label_, "O")) for e in doc.ents]
            kept = [span for span in spans if span[2] != "O"]
            rows += [
                (i, a + first, a + last - 1, kind) for first, last, kind in char_to_token_spans(doc.text, kept, mine)
            ]
        row, first, last = (np.array([r[k] for r in rows], np.int64) for k in range(3))
        return {
            "row": row,
            "start": words.starts[first],
            "end": words.ends[last],
            "first": first,
            "last": last,
            "type": np.array([r[3] for r in rows], dtype=str),
            "score": np.ones(len(rows), np.float32),
        }
