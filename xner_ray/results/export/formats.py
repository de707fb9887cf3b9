"""The export formats. Each writer streams rows of schema.EXPORTED to one file that another library trains on.

conll    token TAB tag, a blank line after each sentence
flair    token TAB tag TAB + or - (whether a space follows), for a ColumnCorpus with text, ner and space-after
gliner   a JSON array of {"tokenized_text": [...], "ner": [[first, last, type], ...]}, where `last` is inclusive
spacy    DocBin, see `docbin.py`
hf       Parquet with features, see `huggingface.py`
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from xner_ray.results.export.docbin import DocBinWriter
from xner_ray.results.export.huggingface import ParquetWriter
from xner_ray.results.export.row_writer import RowWriter, Sentence, sentences
from xner_ray.text.tags import bio2_to_spans


@dataclass(frozen=True)
class Format:
    """An export format.

    Attributes:
        suffix: of its files.
        open: opens the file of one split: (path, language, labels) -> writer.
        validation_name: the name of the validation split's file, without suffix.
    """

    suffix: str
    open: Callable[[Path, str, Sequence[str]], RowWriter]
    validation_name: str = "validation"

    def file_name(self, split: str) -> str:
        """Return the file name of a split."""
        return (self.validation_name if split == "validation" else split) + self.suffix


class _TextWriter:
    """Writes a text file; `text` formats one sentence."""

    def __init__(self, path: Path):
        self.file = path.open("w", encoding="utf-8", newline="\n")

    def write(self, rows: pa.Table) -> None:
        for sentence in sentences(rows):
            self.file.write(self.text(sentence))

    def text(self, sentence: Sentence) -> str:
        raise NotImplementedError

    def close(self) -> None:
        self.file.close()


class ConllWriter(_TextWriter):
    def text(self, sentence: Sentence) -> str:
        lines = zip(sentence.tokens, sentence.tags, strict=True)
        return "".join(f"{token}\t{tag}\n" for token, tag in lines) + "\n"


class FlairWriter(_TextWriter):
    def text(self, sentence: Sentence) -> str:
        lines = zip(sentence.tokens, sentence.tags, sentence.spaces, strict=True)
        return "".join(f"{token}\t{tag}\t{'+' if space else '-'}\n" for token, tag, space in lines) + "\n"


class GlinerWriter(_TextWriter):
    def __init__(self, path: Path):
        super().__init__(path)
        self.separator = "[\n"

    def text(self, sentence: Sentence) -> str:
        entities = [[first, end - 1, kind] for first, end, kind in bio2_to_spans(sentence.tags)]
        item = json.dumps({"tokenized_text": sentence.tokens, "ner": entities}, ensure_ascii=False)
        separator, self.separator = self.separator, ",\n"
        return separator + item

    def close(self) -> None:
        self.file.write("\n]\n" if self.separator != "[\n" else "[]\n")
        super().close()


FORMATS = {
    "hf": Format(".parquet", lambda path, language, labels: ParquetWriter(path, labels)),
    "conll": Format(".conll", lambda path, language, labels: ConllWriter(path)),
    # flair's ColumnCorpus finds a file named `dev` by itself.
    "flair": Format(".txt", lambda path, language, labels: FlairWriter(path), "dev"),
    "gliner": Format(".json", lambda path, language, labels: GlinerWriter(path)),
    "spacy": Format(".spacy", lambda path, language, labels: DocBinWriter(path, language)),
}
