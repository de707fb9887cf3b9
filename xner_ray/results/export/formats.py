"""Writers of the formats that other libraries train on; each takes rows of schema.EXPORTED and streams them to one file.

conll    token TAB tag, a blank line after each sentence
flair    token TAB tag TAB + or -: whether a space follows, for ColumnCorpus(column_format=FLAIR_COLUMNS)
gliner   a JSON array of {"tokenized_text": [...], "ner": [[first, last, type], ...]}, `last` inclusive
spacy    DocBin, see `docbin.py`
hf       Parquet with features, see `huggingface.py`
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from xner_ray.text.tags import bio2_to_spans
from xner_ray.text.words import tokenize_words

FLAIR_COLUMNS = {0: "text", 1: "ner", 2: "space-after"}


class Rows(Protocol):
    """A file that takes rows."""

    def write(self, rows: pa.Table) -> None: ...

    def close(self) -> None: ...


class _Lines:
    """A text file; `text` says what a sentence becomes."""

    def __init__(self, path: Path):
        self.file = path.open("w", encoding="utf-8", newline="\n")

    def write(self, rows: pa.Table) -> None:
        for tokens, tags, spaces in sentences(rows):
            self.file.write(self.text(tokens, tags, spaces))

    def text(self, tokens: list[str], tags: list[str], spaces: list[bool]) -> str:
        raise NotImplementedError

    def close(self) -> None:
        self.file.close()


class ConllRows(_Lines):
    def text(self, tokens: list[str], tags: list[str], spaces: list[bool]) -> str:
        return "".join(f"{token}\t{tag}\n" for token, tag in zip(tokens, tags, strict=True)) + "\n"


class FlairRows(_Lines):
    def text(self, tokens: list[str], tags: list[str], spaces: list[bool]) -> str:
        rows = zip(tokens, tags, spaces, strict=True)
        return "".join(f"{token}\t{tag}\t{'+' if space else '-'}\n" for token, tag, space in rows) + "\n"


class GlinerRows(_Lines):
    def __init__(self, path: Path):
        super().__init__(path)
        self.between = "[\n"

    def text(self, tokens: list[str], tags: list[str], spaces: list[bool]) -> str:
        entities = [[first, end - 1, kind] for first, end, kind in bio2_to_spans(tags)]
        item = json.dumps({"tokenized_text": tokens, "ner": entities}, ensure_ascii=False)
        before, self.between = self.between, ",\n"
        return before + item

    def close(self) -> None:
        self.file.write("\n]\n" if self.between != "[\n" else "[]\n")
        super().close()


def sentences(rows: pa.Table) -> Iterator[tuple[list[str], list[str], list[bool]]]:
    """Tokens, tags, and whether white space follows each token, of each row."""
    for row in rows.select(["target", "language", "tokens", "ner_tags"]).to_pylist():
        spans = tokenize_words(row["target"], row["language"])
        spaces = [a[1] < b[0] for a, b in pairwise(spans)] + [False] * bool(spans)
        if len(spaces) != len(row["tokens"]):  # cut by another version than this one
            spaces = [True] * (len(row["tokens"]) - 1) + [False]
        yield row["tokens"], row["ner_tags"], spaces


def writer(format: str) -> tuple[str, Callable[[Path, str, Sequence[str]], Rows]]:
    """File name of a split (`{split}` filled in by the caller) and how to open it: (path, language, labels)."""
    from xner_ray.results.export.docbin import DocBinRows
    from xner_ray.results.export.huggingface import ParquetRows

    opened: dict[str, tuple[str, Callable[[Path, str, Sequence[str]], Rows]]] = {
        "hf": ("{split}.parquet", lambda path, language, labels: ParquetRows(path, labels)),
        "conll": ("{split}.conll", lambda path, language, labels: ConllRows(path)),
        "flair": ("{split}.txt", lambda path, language, labels: FlairRows(path)),
        "gliner": ("{split}.json", lambda path, language, labels: GlinerRows(path)),
        "spacy": ("{split}.spacy", lambda path, language, labels: DocBinRows(path, language)),
    }
    return opened[format]


FORMATS = ("hf", "conll", "flair", "gliner", "spacy")
