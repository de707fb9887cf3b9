"""Readers: each format of parallel text becomes the same stream of Arrow chunks.

A reader splits lines and counts them. It does not decide whether a row can be used: bytes stay bytes, a missing side is
null, and `validity_filters.py` gives the reason. Each line becomes one row, so the counts of all outcomes add up.
`pair_id` is the 0-based line number (in TMX, the number of the unit) in every format. An id column of TSV is
ignored, because in real corpora ids are text or not unique.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import product

import numpy as np
import pyarrow as pa

from xner_ray.config import CorpusConfig
from xner_ray.corpora.readers.archive import Stream, entry_names, open_entry, open_text
from xner_ray.corpora.readers.line_reader import align_lines, field, split_fields, split_lines, text_blocks
from xner_ray.corpora.readers.parquet_reader import read_parquet
from xner_ray.corpora.readers.tmx import read_units
from xner_ray.corpora.readers.tsv_layout import find_layout, source_first, swapped
from xner_ray.errors import UserError
from xner_ray.language_codes import known_language, plain_language, select_variant


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
    corpus: CorpusConfig,
    source: str,
    target: str,
    path: str,
    target_path: str | None = None,
    notes: list[str] | None = None,
) -> Iterator[Chunk]:
    """All pairs of a corpus, in the order of its lines.

    Args:
        corpus: its config, with the format.
        source: source language, a normalized code.
        target: target language, a normalized code.
        path: file or URL, with placeholders filled in.
        target_path: of the target side, for format `lines`.
        notes: receives what was recognized: columns, and regional variants with their counts.

    Raises:
        UserError: the file as a whole cannot be read; with file, line or entry, key and remedy.
    """
    key, notes = f"{corpus.key}.path", [] if notes is None else notes
    if corpus.format == "moses":
        return _moses(path, source, target, key, notes)
    if corpus.format == "tmx":
        return _tmx(path, source, target, key, notes)
    if corpus.format == "lines":
        assert target_path is not None  # checked by the config
        return _lines(path, target_path, corpus.key)
    if corpus.format == "parquet":
        return _parquet(path, source, target, key)
    return _tsv(path, corpus, (source, target), notes)


def swap_remedy(corpus: CorpusConfig, languages: tuple[str, str], path: str) -> tuple[str, str]:
    """How to exchange the sides of a corpus: the config key, and what to do."""
    if corpus.format in ("tsv", "wikimatrix"):
        with open_text(path, f"{corpus.key}.path") as stream:
            layout = find_layout(next(text_blocks(stream)), corpus, languages, path)
        key = f"{corpus.key}.columns"
        return key, f"set {key}={swapped(layout)}"
    if corpus.format == "lines":
        return corpus.key, "exchange `path` and `target_path`"
    ways = {
        "moses": "the archive names its entries wrongly: unzip it, and give the two files with format `lines`",
        "tmx": "the file has wrong language codes: exchange them, e.g. with sed on xml:lang",
        "parquet": "exchange the names of its two columns",
    }
    return f"{corpus.key}.path", ways[corpus.format]


def _moses(path: str, source: str, target: str, key: str, notes: list[str]) -> Iterator[Chunk]:
    names = moses_entries(path, entry_names(path, key), source, target, key)
    for language, name in zip((source, target), names, strict=False):
        if known_language(suffix := name.rpartition(".")[2]) != language:
            notes.append(f"`{language}` is read from the variant {suffix}")
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
        sides = [_suffixes(by_suffix, language) for language in (source, target)]
        for pair in product(*sides):
            matches.append([by_suffix[x] for x in pair] + [by_suffix[x] for x in ("scores",) if x in by_suffix])
    if len(matches) == 1:
        return matches[0]
    entries = ", ".join(sorted(names)[:12]) or "nothing"
    what = "no entries" if not matches else f"{len(matches)} pairs of entries"
    raise UserError(
        f"{what} for the languages {source} and {target}; it holds {entries}",
        file=path,
        key=key,
        remedy=_entries_remedy(matches, {x for by_suffix in stems.values() for x in by_suffix}, source, target),
    )


def _suffixes(suffixes: Iterable[str], language: str) -> list[str]:
    """The suffixes of a language; the one that is spelled like the code, if there is one."""
    found = select_variant(language, suffixes)
    return [language] if language in found else found


def _entries_remedy(matches: list[list[str]], suffixes: set[str], source: str, target: str) -> str:
    variants = {known for x in suffixes if (known := known_language(x))} - {source, target}
    near = [x for x in sorted(variants) for code in (source, target) if plain_language(x) == plain_language(code)]
    if near:
        return (
            f"a regional variant is a language of its own: write {' or '.join(f'`{x}`' for x in near)} in the config"
        )
    if len(matches) > 1:
        return "give an archive of one corpus"
    return f"give an archive with one NAME.{source} and one NAME.{target}"


def _lines(path: str, target_path: str, key: str) -> Iterator[Chunk]:
    with ExitStack() as stack:
        sides = ((path, f"{key}.path"), (target_path, f"{key}.target_path"))
        yield from _side_by_side([stack.enter_context(open_text(*side)) for side in sides])


def _side_by_side(streams: list[Stream]) -> Iterator[Chunk]:
    at = 0
    for columns in align_lines([map(split_lines, text_blocks(s)) for s in streams], [s.name for s in streams]):
        yield Chunk(np.arange(at, at + len(columns[0])), *columns)
        at += len(columns[0])


def _tsv(path: str, corpus: CorpusConfig, languages: tuple[str, str], notes: list[str]) -> Iterator[Chunk]:
    at, layout = 0, None
    with open_text(path, f"{corpus.key}.path") as stream:
        for block in text_blocks(stream):
            fields, first, count = split_fields(block)
            skipped = 0
            if layout is None:
                layout = find_layout(block, corpus, languages, path)
                skipped = int(layout.header)
                if layout.recognized or not source_first(path, languages):
                    notes.append(f"recognized columns: {layout}")
            first, count = first[skipped:], count[skipped:]
            at += skipped
            count = np.where(count > layout.max_fields, 0, count)  # a tab in the text would shift the columns
            score = layout.score
            if score is not None and score >= layout.columns and not (count > score).any():
                score = None
            yield Chunk(
                np.arange(at, at + len(first)),
                field(fields, first, count, layout.source),
                field(fields, first, count, layout.target),
                field(fields, first, count, score) if score is not None else pa.nulls(len(first), pa.large_binary()),
            )
            at += len(first)


def _parquet(path: str, source: str, target: str, key: str) -> Iterator[Chunk]:
    at = 0
    for columns in read_parquet(path, source, target, key):
        yield Chunk(np.arange(at, at + len(columns[0])), *columns)
        at += len(columns[0])


def _tmx(path: str, source: str, target: str, key: str, notes: list[str]) -> Iterator[Chunk]:
    at = 0
    with open_text(path, key) as stream:
        for units in read_units(stream, source, target, key, notes):
            yield Chunk(
                np.arange(at, at + len(units.sources)),
                pa.array(units.sources, pa.large_binary()),
                pa.array(units.targets, pa.large_binary()),
                malformed=np.array(units.malformed) if any(units.malformed) else None,
            )
            at += len(units.sources)
