"""spaCy's DocBin, written by spaCy itself, for `spacy train --paths.train FILE.spacy`.

A DocBin is one compressed block, so the documents of a split stay in memory until it is closed: about 1 GB per million sentences.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from xner_ray.errors import UserError
from xner_ray.results.export.row_writer import sentences
from xner_ray.text.tags import bio2_to_spans


class DocBinWriter:
    """Writes the rows of one split.

    Args:
        path: the file.
        language: the language of the rows.

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
        except ImportError:
            # spaCy lacks the language or its tokenizer. The vocabulary suffices, because the rows have tokens.
            self.vocab = spacy.blank("xx").vocab
        self.path, self.docs = path, DocBin(attrs=["ENT_IOB", "ENT_TYPE"], store_user_data=False)

    def write(self, rows: pa.Table) -> None:
        from spacy.tokens import Doc, Span

        for sentence in sentences(rows):
            doc = Doc(self.vocab, words=sentence.tokens, spaces=sentence.spaces)
            doc.set_ents([Span(doc, *span) for span in bio2_to_spans(sentence.tags)])
            self.docs.add(doc)

    def close(self) -> None:
        self.docs.to_disk(self.path)
