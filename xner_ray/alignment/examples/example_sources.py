"""Examples without word alignment: from the user's file, from a lexicon, and from a translator.

All three give the target span of a name directly, so their labels are cleaner than those of the bootstrap, and they have names
that the bootstrap's encoder does not align.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from xner_ray.alignment.examples.combine import add_spans
from xner_ray.alignment.examples.example import CharSpans, Example
from xner_ray.alignment.examples.inner_names import continues_as_organization
from xner_ray.alignment.examples.translator import Translate
from xner_ray.encoders.row_guard import without_failing_rows
from xner_ray.errors import UserError
from xner_ray.text.conll import read_lines
from xner_ray.text.words import tokenize_words

FILE, LEXICON, TRANSLATOR = "pairs", "lexicon", "translator"  # keys of `aligner.example_sources`
_FILE_REMEDY = (
    "write name, sentence, start, end, separated by tabs; offsets count characters from 0, the end is exclusive"
)


def read_examples_file(path: str | Path, language: str) -> list[Example]:
    """Read the user's examples: TSV lines of name, sentence, start and end (characters).

    Args:
        path: of the file. Lines with the same name and sentence are one example.
        language: of the sentences, ISO 639-1.

    Raises:
        UserError: a line without four columns, without numbers, or with a span outside the sentence; or no example.
    """
    spans: dict[tuple[str, str], set[tuple[int, int]]] = {}
    for number, line in enumerate(read_lines(path), 1):
        if line.strip():
            name, sentence, start, end = _parse_line(line, path, number)
            spans.setdefault((name, sentence), set()).add((start, end))
    if not spans:
        raise UserError("has no example", file=path, key="aligner.examples_file", remedy=_FILE_REMEDY)
    return [Example(name, text, tuple(sorted(found)), language, FILE) for (name, text), found in spans.items()]


def _parse_line(line: str, path: str | Path, number: int) -> tuple[str, str, int, int]:
    def error(problem: str) -> UserError:
        return UserError(problem, file=path, line=number, remedy=_FILE_REMEDY)

    columns = line.split("\t")
    if len(columns) != 4:
        raise error(f"{len(columns)} columns, expected 4")
    name, sentence, *edges = columns
    if not name.strip():
        raise error("an empty name")
    if not all(edge.strip().isdecimal() for edge in edges):
        raise error(f"`{edges[0]}`, `{edges[1]}` are not offsets")
    start, end = map(int, edges)
    if not start < end <= len(sentence):
        raise error(f"span {start}:{end} does not fit a sentence of {len(sentence)} characters")
    return name.strip(), sentence, start, end


def read_lexicon(path: str | Path) -> list[tuple[str, str]]:
    """Read TSV lines of source name and target name.

    Raises:
        UserError: a line without two filled columns.
    """
    entries = []
    for number, line in enumerate(read_lines(path), 1):
        if not line.strip():
            continue
        columns = [c.strip() for c in line.split("\t")]
        if len(columns) != 2 or not all(columns):
            raise UserError("not two columns", file=path, line=number, remedy="write source name, tab, target name")
        entries.append((columns[0], columns[1]))
    return entries


class Lexicon:
    """Finds target names in text: whole words, case-sensitive, the longest name first.

    Args:
        entries: (source name, target name). Of equal target names the first entry counts.
        language: of the target names, ISO 639-1. Without spaces, each character is a word.
    """

    def __init__(self, entries: Sequence[tuple[str, str]], language: str):
        self.language = language
        self._names: dict[tuple[str, ...], str] = {}  # by the words of the target name
        self._longest: dict[str, int] = {}  # most words of a target name, by its first word
        for name, target in entries:
            key = tuple(target[a:b] for a, b in tokenize_words(target, language))
            if key:
                self._names.setdefault(key, name)
                self._longest[key[0]] = max(self._longest.get(key[0], 0), len(key))

    def find(self, sentence: str) -> Iterator[tuple[str, tuple[int, int]]]:
        """(source name, character span) of each occurrence, without overlap."""
        words = tokenize_words(sentence, self.language)
        texts = [sentence[a:b] for a, b in words]
        position = 0
        while position < len(texts):
            for size in range(self._longest.get(texts[position], 0), 0, -1):
                name = self._names.get(tuple(texts[position : position + size]))
                if name is not None and position + size <= len(texts):
                    end = words[position + size - 1][1]
                    if not continues_as_organization(sentence, end, self.language):
                        yield name, (words[position][0], end)
                    position += size - 1
                    break
            position += 1


def lexicon_examples(lexicon: Lexicon, sources: Sequence[str], targets: Sequence[str]) -> Iterator[Example]:
    """Examples of the pairs that contain a name on both sides.

    The source must contain the source name, to distinguish the country Chad from the lake and Man from a man.
    """
    for source, target in zip(sources, targets, strict=True):
        spans: dict[str, list[tuple[int, int]]] = {}
        for name, span in lexicon.find(target):
            spans.setdefault(name, []).append(span)
        for name, found in spans.items():
            if name in source:
                yield Example(name, target, tuple(found), lexicon.language, LEXICON, source_text=source)


def translator_examples(
    mentions: Sequence[Sequence[tuple]],
    sources: Sequence[str],
    targets: Sequence[str],
    translate: Translate,
    language: str,
    skipped: Counter[str] | None = None,
) -> Iterator[Example]:
    """Examples whose name is the translation of a mention in the target, as in the paper.

    Mentions of a sentence with one translation are one example (`Berlin` and `Berlins`).

    Args:
        mentions: character spans in each target, such as those of a tagger: (start, end), or (start, end, type, ...).
        sources, targets: raw strings, one of each for a pair.
        translate: from the target language to the source language. It gets each distinct mention once.
        language: of the targets, ISO 639-1.
        skipped: counts the mentions on which the translator raises an error, by reason. They give no example.
    """
    texts = (target[m[0] : m[1]] for target, row in zip(targets, mentions, strict=True) for m in row)
    names = translate_distinct(texts, translate, skipped)
    for source, target, row in zip(sources, targets, mentions, strict=True):
        found: dict[str, tuple[str, str, CharSpans]] = {}
        for start, end, *rest in row:
            if name := names.get(target[start:end]):
                first, kind, spans = found.get(name.casefold(), (name, str(rest[0]) if rest else "", ()))
                found[name.casefold()] = first, kind, add_spans(spans, ((start, end),))
        for name, kind, spans in found.values():
            yield Example(name, target, spans, language, TRANSLATOR, kind, source)


def translate_distinct(texts: Iterable[str], translate: Translate, skipped: Counter[str] | None) -> dict[str, str]:
    """The translation of each distinct text. Texts on which the translator fails are left out, and counted by reason."""
    distinct = sorted(set(texts))
    if not distinct:
        return {}
    guarded = without_failing_rows(lambda rows: translate([distinct[i] for i in rows]), len(distinct))
    if skipped is not None:
        skipped.update(guarded.faults.values())
    return {distinct[i]: name.strip() for i, name in zip(guarded.rows.tolist(), guarded.result, strict=True)}
