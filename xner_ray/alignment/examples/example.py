"""One training example of the aligner, and the file of examples that a run keeps."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from xner_ray.storage.atomic import write_text

PHRASE = "phrase"  # kind of a noun phrase that is no entity
CharSpans = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Example:
    """A name, a sentence, and where the name's translation is in the sentence.

    Attributes:
        name: in the source language.
        sentence: in the target language.
        spans: half-open character spans of `sentence`, sorted, without overlap. Empty for a negative example.
        language: of the sentence, ISO 639-1.
        example_source: key of the config's `aligner.example_sources`.
        kind: entity type, `phrase`, or empty where it is not known.
        source_text: the source side of the sentence, or empty where it is not known.
    """

    name: str
    sentence: str
    spans: CharSpans
    language: str
    example_source: str
    kind: str = ""
    source_text: str = ""


def write_examples(path: str | Path, examples: Sequence[Example]) -> None:
    """Write examples as JSON lines: those of the training for readers of a run's folder, and those that are held out."""
    keys = ("language", "name", "sentence", "spans", "example_source", "kind", "source_text")
    rows = (json.dumps({key: getattr(e, key) for key in keys}, ensure_ascii=False) for e in examples)
    write_text(path, "".join(row + "\n" for row in rows))
