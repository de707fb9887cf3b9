"""The adapter for spaCy: finds a pipeline, reads its types, and runs it as a tagger.

A pipeline can hold pickles and name code of installed packages, and no check makes it safe. So a pipeline is loaded only where
the user named one with `spacy:`, and never because a file in a model folder says so.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from xner_ray.encoders.folder_check import explain_load_errors
from xner_ray.encoders.tokenizer import Tokens
from xner_ray.errors import UserError
from xner_ray.ner.base_tagger import BaseTagger
from xner_ray.ner.entity_spans import EntitySpans
from xner_ray.ner.label_normalizer import TYPE_MAP, read_config
from xner_ray.ner.word_spans import WordSpans
from xner_ray.storage.fingerprint import hash_folder
from xner_ray.text.token_spans import char_to_token_spans

PIPELINE_FOLDER = "spacy"  # of a teacher folder: the copied pipeline
_UNUSED_PIPES = ["tagger", "parser", "lemmatizer", "attribute_ruler", "morphologizer", "senter", "textcat"]
_NOT_INSTALLED = "spaCy is not installed ({})"
_INSTALL = "pip install 'xner_ray[spacy]'"


class SpacyTagger(BaseTagger):
    """Runs the pipeline of a teacher folder (see `external_teacher`).

    The pipeline tokenizes by itself. Its entities are mapped to the given words by the rule of projection
    (`xner_ray.text.token_spans`). It gives no scores, so every score is 1.

    Args:
        folder: of the teacher.

    Raises:
        UserError: spaCy is not installed, or the folder has no pipeline.
    """

    def __init__(self, folder: str | Path):
        try:
            import spacy
        except ImportError as e:
            raise UserError(_NOT_INSTALLED.format(e.name), remedy=_INSTALL) from e
        self.type_map = read_config(folder)[TYPE_MAP]
        pipeline = Path(folder) / PIPELINE_FOLDER
        if not is_pipeline(pipeline):
            raise UserError(
                "is no spaCy pipeline", file=pipeline, remedy="run again with teacher.model: spacy:PIPELINE"
            )
        with explain_load_errors(folder):
            self.nlp = spacy.load(pipeline, exclude=_UNUSED_PIPES)

    @property
    def types(self) -> list[str]:
        """See `BaseTagger.types`."""
        return sorted(set(self.type_map.values()) - {"O"})

    def predict_spans(self, texts: Sequence[str], words: WordSpans, tokens: Tokens | None = None) -> EntitySpans:
        """Predict the entities of texts, see `BaseTagger.predict_spans`."""
        rows, first_words, last_words, types = [], [], [], []
        for row, (doc, (a, b)) in enumerate(zip(self.nlp.pipe(texts), pairwise(words.offsets.tolist()), strict=True)):
            word_spans = list(zip(words.starts[a:b].tolist(), words.ends[a:b].tolist(), strict=True))
            spans = [(e.start_char, e.end_char, self.type_map.get(e.label_, "O")) for e in doc.ents]
            kept = [span for span in spans if span[2] != "O"]
            for first, end, entity_type in char_to_token_spans(doc.text, kept, word_spans):
                rows.append(row)
                first_words.append(a + first)
                last_words.append(a + end - 1)
                types.append(entity_type)
        first_word, last_word = np.array(first_words, np.int64), np.array(last_words, np.int64)
        return EntitySpans(
            rows=np.array(rows, np.int64),
            starts=words.starts[first_word],
            ends=words.ends[last_word],
            first_words=first_word,
            last_words=last_word,
            types=np.array(types, dtype=str),
            scores=np.ones(len(rows), np.float32),
        )


def find_pipeline(name: str) -> Path:
    """The folder of a pipeline: a folder itself, or the data of an installed package.

    Raises:
        UserError: there is no such folder or package, or spaCy is not installed.
    """
    if is_pipeline(Path(name)):
        return Path(name)
    try:
        from spacy.util import get_package_path, is_package
    except ImportError as e:
        raise UserError(_NOT_INSTALLED.format(e.name), key="teacher.model", remedy=_INSTALL) from e
    if not is_package(name):
        raise UserError(
            f"`{name}` is neither the folder of a pipeline nor an installed package",
            key="teacher.model",
            remedy=f"give the folder of a pipeline, or install one: python -m spacy download {name}",
        )
    package = get_package_path(name)
    meta_files = sorted(package.glob("*/meta.json"))  # the data of a package is in its subfolder NAME-VERSION
    return meta_files[-1].parent if meta_files else package


def is_pipeline(folder: Path) -> bool:
    """Whether a folder is a saved spaCy pipeline and no model of Transformers."""
    return (folder / "meta.json").exists() and not (folder / "config.json").exists()


def pipeline_types(folder: Path) -> list[str]:
    """The entity types of a pipeline's component `ner`.

    Raises:
        UserError: the pipeline has no such component, or it has no types.
    """
    with explain_load_errors(folder):
        meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
        types = meta.get("labels", {}).get("ner", [])
    if not types:
        raise UserError("has no component `ner`", file=folder, key="teacher.model", remedy="choose another pipeline")
    return list(types)


def hash_pipeline(folder: Path) -> str:
    """SHA-256 over names and bytes of all files of a pipeline."""
    return hash_folder(folder, ["**/*"])
