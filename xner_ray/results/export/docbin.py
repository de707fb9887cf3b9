"""spaCy's DocBin, written by spaCy itself: what `spacy train --paths.train FILE.spacy` reads.

A DocBin is one compressed block, so a split's documents are held until it is closed: about 1 GB a million sentences.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from xner_ray.errors import UserError
from xner_ray.results.export.formats import sentences
from xner_ray.text.tags import bio2_to_spans


class DocBinRows:
    """Writes rows of one split.

    Raises:
        UserError: spaCy is not installed.
    """

    def __init__(self, path: Path, language: str):
        try:
            import spacy
            from spacy.tokens import DocBin
        except ImportError as e:
            remedy = "pip install 'xner_ray[spacy]', or choose another --format"
            raise UserError(f"spaCy is not installed ({e.name})", key="--format spacy", remedy=remedy) from e
        try:
            self.vocab = spacy.blank(language).vocab
        except (
            ImportError
        ):  # a language that spaCy lacks, or whose word cutter is not installed: we bring our own words
            self.vocab = spacy.blank("xx").vocab
        self.path, self.docs = path, DocBin(attrs=["ENT_IOB", "ENT_TYPE"], store_user_data=False)

    def write(self, rows: pa.Table) -> None:
        from spacy.tokens import Doc, Span

        for tokens, tags, spaces in sentences(rows):
            doc = Doc(self.vocab, words=tokens, spaces=spaces)
            doc.set_ents([Span(doc, *span) for span in bio2_to_spans(tags)])
            self.docs.add(doc)

    def close(self) -> None:
        self.docs.to_disk(self.path)
