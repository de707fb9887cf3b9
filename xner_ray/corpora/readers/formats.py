"""Readers: each format of parallel text becomes the same stream of Arrow chunks.

A reader splits lines and counts them. It does not decide whether a row can be used: bytes stay bytes, a missing side is
null, and `validity_filters.py` gives the reason. Each line becomes one row, so the counts of all outcomes add up.
`pair_id` is the 0-based line number (in TMX, the number of the unit) in every format. The id column of TSV is required
but ignored, because in real corpora ids are text or not unique.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from xner_ray.config import CorpusConfig
from xner_ray.corpora.readers.archive import Stream, entry_names, open_entry, open_text
from xner_ray.corpora.readers.line_reader import align_lines, field, split_fields, split_lines, text_blocks
from xner_ray.corpora.readers.parquet_reader import read_parquet
from xner_ray.corpora.readers.tmx import read_units
from xner_ray.errors import UserError


@dataclass(frozen=True)
class Chunk:
    """Several thousand raw pairs.

    Attributes:
        pair_id: int64 [n].
        source: large_binary [n], with its separators; null where the line lacks the column.
        target: large_binary [n], likewise.
        score: large_binary [n], the text of a number; None where the corpus has no scores.
        malformed: bool [n], the row is no well-formed unit of TMX; its source is its raw text. None: all are well-formed.
    """

    pair_id: np.ndarray
    source: pa.LargeBinaryArray
    target: pa.LargeBinaryArray
    score: pa.LargeBinaryArray | None = None
    malformed: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.pair_id)


def read_corpus(
    corpus: CorpusConfig, source: str, target: str, path: str, target_path: str | None = None
) -> Iterator[Chunk]:
    """All pairs of a corpus, in the order of its lines.

    Args:
        corpus: its config, with the format.
        source: source language, ISO 639-1.
        target: target language, ISO 639-1.
        path: file or URL, with placeholders filled in.
        target_path: of the target side, for format `lines`.

    Raises:
        UserError: the file as a whole cannot be read; with file, line or entry, key and remedy.
    """
    key = f"corpora.{corpus.name}.path"
    if corpus.format == "moses":
        return _moses(path, source, target, key)
    if corpus.format == "tmx":
        return _tmx(path, source, target, key)
    if corpus.format == "lines":
        assert target_path is not None  # checked by the config
        return _lines(path, target_path, corpus.name)
    if corpus.format == "parquet":
        return _parquet(path, source, target, key)
    columns = (0, 1, 2) if corpus.format == "wikimatrix" else (3, 1, 2)
    return _tsv(path, *columns, key=key)


def _moses(path: str, source: str, target: str, key: str) -> Iterator[Chunk]:
    names = moses_entries(path, entry_names(path, key), source, target, key)
    with ExitStack() as stack:
        yield from _side_by_side([stack.enter_context(open_entry(path, name, key)) for name in names])


def moses_entries(path: str, names: list[str], source: str, target: str, key: str | None = None) -> list[str]:
    """The entries of a Moses zip with source, target and, if present, scores.

    An archive may contain several language pairs (`NAME.de-en.en`, `NAME.en-es.en`), so both entries must have the same name
    except for the last suffix.

    Args:
        path: the archive, for errors.
        names: its entries.
        source: source language.
        target: target language.
        key: config key of the path, for errors.

    Returns:
        Two or three names.

    Raises:
        UserError: no pair of entries, or more than one, has the two languages.
    """
    stems: dict[str, dict[str, str]] = {}
    for name in sorted(names):
        stem, _, suffix = name.rpartition(".")
        stems.setdefault(stem, {})[suffix] = name
    matches = []
    for by_suffix in stems.values():
        sides = [_suffix(by_suffix, language) for language in (source, target)]
        if all(sides):
            matches.append([by_suffix[x] for x in sides if x] + [by_suffix[x] for x in ("scores",) if x in by_suffix])
    if len(matches) == 1:
        return matches[0]
    entries = ", ".join(sorted(names)[:12]) or "nothing"
    what = "no entries" if not matches else f"{len(matches)} pairs of entries"
    raise UserError(
        f"{what} for the languages {source} and {target}; it holds {entries}",
        file=path,
        key=key,
        remedy=f"give an archive with one NAME.{source} and one NAME.{target}",
    )


def _suffix(suffixes: dict[str, str], language: str) -> str | None:
    """The suffix of a language: the code itself, or a code with a region (zh_CN, zh-cn); for zh simplified Chinese first."""
    if language in suffixes:
        return language
    regional = [x for x in suffixes if x.lower().replace("-", "_").startswith(f"{language.lower()}_")]
    return min(regional, key=lambda x: ("cn" not in x.lower(), x), default=None)


def _lines(path: str, target_path: str, name: str) -> Iterator[Chunk]:
    with ExitStack() as stack:
        sides = ((path, f"corpora.{name}.path"), (target_path, f"corpora.{name}.target_path"))
        yield from _side_by_side([stack.enter_context(open_text(*side)) for side in sides])


def _side_by_side(streams: list[Stream]) -> Iterator[Chunk]:
    at = 0
    for columns in align_lines([map(split_lines, text_blocks(s)) for s in streams], [s.name for s in streams]):
        yield Chunk(np.arange(at, at + len(columns[0])), *columns)
        at += len(columns[0])


def _tsv(path: str, score: int, source: int, target: int, key: str) -> Iterator[Chunk]:
    at = 0
    with open_text(path, key) as stream:
        for block in text_blocks(stream):
            fields, first, count = split_fields(block)
            if at == 0 and count[0] < 3:
                expected = "score, source, target" if score == 0 else "id, source, target[, score]"
                raise UserError(
                    f"the first line has {count[0]} of the columns {expected}",
                    file=path,
                    line=1,
                    key=key,
                    remedy="separate the columns by tabs, or correct `format`",
                )
            scores = field(fields, first, count, score) if score == 0 or (count > score).any() else None
            yield Chunk(
                np.arange(at, at + len(first)),
                field(fields, first, count, source),
                field(fields, first, count, target),
                pa.nulls(len(first), pa.large_binary()) if scores is None else scores,
            )
            at += len(first)


def _parquet(path: str, source: str, target: str, key: str) -> Iterator[Chunk]:
    at = 0
    for columns in read_parquet(path, source, target, key):
        yield Chunk(np.arange(at, at + len(columns[0])), *columns)
        at += len(columns[0])


def _tmx(path: str, source: str, target: str, key: str) -> Iterator[Chunk]:
    at = 0
    with open_text(path, key) as stream:
        for units in read_units(stream, source, target):
            yield Chunk(
                np.arange(at, at + len(units.sources)),
                pa.array(units.sources, pa.large_binary()),
                pa.array(units.targets, pa.large_binary()),
                malformed=np.array(units.malformed) if any(units.malformed) else None,
            )
            at += len(units.sources)
