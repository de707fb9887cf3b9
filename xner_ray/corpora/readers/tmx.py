"""TMX, read with expat one translation unit at a time, so memory does not depend on the size of the file.

XML needs a Python call for each tag, so this reader is several times slower than the others. Hostile files are limited:
a file's own entities are refused (so nothing expands), nothing external is fetched, and depth and token size are
bounded.

Expat stops at the first error. To lose one unit instead of the file, the bytes of the current unit are kept. After an
error the unit becomes a malformed row, and a new parser continues behind it. Bytes that are not UTF-8 become a private
character before expat and an invalid byte after it, which the filter `bad_utf8` detects.
"""

from __future__ import annotations

import codecs
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from html.entities import name2codepoint
from typing import NamedTuple
from xml.parsers import expat

from xner_ray.corpora.readers.archive import Stream
from xner_ray.corpora.readers.line_reader import BLOCK, MAX_LINE, strip_bom, too_long_line
from xner_ray.errors import UserError
from xner_ray.language_codes import known_language, plain_language, select_variant

_MARK = "\U0010fffd"  # last private character of Unicode; text that contains it is counted as bad_utf8
_BROKEN = re.compile("[\ud800-\udfff]+")
_NATIVE = frozenset({"bpt", "ept", "it", "ph", "ut"})  # their content is markup of another format
_STANDALONE = frozenset(
    {"it", "ph", "ut"}
)  # they stand for a line break, a tab or an image; bpt and ept are formatting
_MAX_DEPTH = 100
_PIECE = 1 << 16  # bytes for one call of expat; after an error at most this much is parsed again
_RAW = 800  # bytes of a malformed unit that are kept for its excerpt
_ROWS = 4096
_UNIT_START = re.compile(rb"<tu(?=[\s/>])")
_UNIT_EDGE = re.compile(rb"<tu(?=[\s/>])|</tu\s*>")
_UNIT_END = re.compile(rb"</tu\s*>")
_CLOSING_TAGS = re.compile(rb"(?:\s*</[^<>]*>)+\s*")

Column = list[bytes | None]


class Units(NamedTuple):
    """Several thousand translation units.

    Attributes:
        sources, targets: the sides; None where a unit lacks the language.
        malformed: the unit is not well-formed XML. Its source is its raw text, cut, and its target None.
    """

    sources: Column
    targets: Column
    malformed: list[bool]


def read_units(
    stream: Stream, source: str, target: str, key: str | None = None, notes: list[str] | None = None
) -> Iterator[Units]:
    """Read translation units.

    Args:
        stream: the file.
        source: source language code.
        target: target language code.
        key: config key of the path, for errors.
        notes: at the end of the file, receives how many units had which regional variants.

    Raises:
        UserError: the file is truncated, is no XML outside of its units, is not UTF-8 or declares entities, or no unit has
            one of the languages.
    """
    handler = _Handler(stream.name, source, target)
    document = _Document(stream, handler)
    while document.parse_piece():
        if len(handler.units.sources) >= _ROWS:
            yield handler.take()
    if handler.units.sources:
        yield handler.take()
    for language in handler.languages:
        taken = handler.taken[language]
        if handler.well_formed and not taken and handler.seen:
            raise missing_language(stream.name, language, handler.seen, key)
        if notes is not None and any(known_language(code) != language for code in taken):
            counts = ", ".join(f"{code} {n:,}" for code, n in taken.most_common())
            notes.append(f"`{language}` is read from the variants {counts}")


def missing_language(name: str, language: str, found: Iterable[str], key: str | None) -> UserError:
    """The error for a file without text in a language, with the codes that it has."""
    codes = list(dict.fromkeys(found))
    near = [x for code in codes if (x := known_language(code)) and plain_language(x) == plain_language(language)]
    write = (
        f"write `{near[0]}` instead of `{language}`" if near else "correct `languages`, `source_language` or the path"
    )
    shown = ", ".join(codes[:12]) + (", ..." if len(codes) > 12 else "")
    return UserError(f"has no text in `{language}`; it has {shown}", file=name, key=key, remedy=write)


class _MalformedUnitError(Exception):
    """A unit that is well-formed so far, but no unit of TMX."""


class _Document:
    """Feeds expat, and continues after errors.

    Attributes:
        buffer: the bytes from the start of the current unit or token on.
        fed: how many of them expat has got.
        origin: index in `buffer` of the byte that expat counts as its first; usually negative.
        counted, lines: the line feeds before `buffer[counted]`.
        recovered: an error was skipped. The parser then no longer knows the elements around the units.
    """

    def __init__(self, stream: Stream, handler: _Handler):
        self.handler, self.blocks = handler, _utf8_blocks(stream)
        self.buffer, self.fed, self.origin, self.counted, self.lines = b"", 0, 0, 0, 0
        self.recovered = False

    def parse_piece(self) -> bool:
        """Parse up to `_PIECE` bytes; False at the end of the file."""
        final = self.fed == len(self.buffer) and not self._read()
        if final and not self.buffer and not self.recovered and self.origin == 0:
            return False  # an empty file
        piece = self.buffer[self.fed : self.fed + _PIECE]
        try:
            self.handler.parser.Parse(piece, final)
        except (expat.ExpatError, _MalformedUnitError) as error:
            return self._recover(error)
        self.fed += len(piece)
        if self.fed - self._needed() > MAX_LINE:
            if self.handler.unit is None:
                raise too_long_line(self.handler.name, self._line(self._needed()))
            return self._recover(_MalformedUnitError("too long"))  # usually a comment or CDATA section without an end
        return not final

    def _read(self) -> bool:
        """Append a block to the buffer and drop what is no longer needed; False at the end of the file."""
        block = next(self.blocks, b"")
        if block:
            self._drop(self._needed())
            self.buffer += block
        return bool(block)

    def _drop(self, count: int) -> None:
        """Remove the first bytes of the buffer."""
        self._line(count)
        self.buffer = self.buffer[count:]
        self.fed, self.origin, self.counted = self.fed - count, self.origin - count, self.counted - count

    def _needed(self) -> int:
        """Index in the buffer of the current unit, else of the current token."""
        handler = self.handler
        at = handler.unit_start if handler.unit is not None else handler.parser.CurrentByteIndex
        return max(at + self.origin, 0)

    def _line(self, index: int) -> int:
        """The line number of `buffer[index]`. Only the lines since the last call are counted."""
        if index >= self.counted:
            self.lines += self.buffer.count(b"\n", self.counted, index)
            self.counted = index
            return self.lines + 1
        return self.lines - self.buffer.count(b"\n", index, self.counted) + 1

    def _recover(self, error: expat.ExpatError | _MalformedUnitError) -> bool:
        """Skip to the end of the current unit or, outside of units, to the next unit; False at the end of the file.

        Raises:
            UserError: there is no such place.
        """
        handler, in_unit = self.handler, self.handler.unit is not None
        start = self._needed() if in_unit else max(handler.parser.ErrorByteIndex + self.origin, 0)
        if self.buffer[start - 2 : start] == b"</":
            start -= 2  # of an end tag without a start tag, expat reports the name
        found = self._search(_UNIT_EDGE, start + 1) if in_unit else self._search(_UNIT_START, start)
        if found is None:
            if self.recovered and not in_unit and _CLOSING_TAGS.fullmatch(self.buffer, start):
                handler.add_malformed(b"", len(_UNIT_END.findall(self.buffer, start)))
                return False
            problem = expat.ErrorString(error.code) if isinstance(error, expat.ExpatError) else str(error)
            what = f"is not well-formed XML, or truncated: {problem}"
            remedy = "fetch the file again or repair it"
            raise UserError(what, file=handler.name, line=self._line(start), remedy=remedy) from None
        # After a missing `</tu>` the next unit is read; after a `</tu>` the file goes on behind it.
        resume = found.start() if found[0].startswith(b"<tu") else found.end()
        skipped = self.buffer[start:resume]
        handler.add_malformed(skipped, 1 if in_unit else len(_UNIT_END.findall(skipped)))
        prefix = handler.restart(self._line(resume) - 1)
        self.fed, self.origin, self.recovered = resume, resume - len(prefix), True
        if resume > BLOCK // 4:
            self._drop(resume)
        return True

    def _search(self, pattern: re.Pattern[bytes], at: int) -> re.Match[bytes] | None:
        """The first match from `at` on, with further blocks of the file if it is not in the buffer."""
        while not (found := pattern.search(self.buffer, at)):
            block = next(self.blocks, b"")
            if not block:
                return None
            self.buffer += block
            if len(self.buffer) - at > MAX_LINE:
                raise too_long_line(self.handler.name, self._line(at))
        return found


def _utf8_blocks(stream: Stream) -> Iterator[bytes]:
    """The file in blocks of UTF-8, with `_MARK` for bytes that are not UTF-8."""
    decoder, first = codecs.getincrementaldecoder("utf-8")("surrogateescape"), True
    while data := stream.read(BLOCK // 4):
        if first:
            data, first = strip_bom(data, stream.name), False
        if block := _BROKEN.sub(_MARK, decoder.decode(data)).encode():
            yield block
    if block := _BROKEN.sub(_MARK, decoder.decode(b"", final=True)).encode():
        yield block


class _Handler:
    """The handlers of expat, and the state of the current unit."""

    def __init__(self, name: str, source: str, target: str):
        self.name, self.languages, self.has_dtd = name, (source, target), False
        self.seen: Counter[str] = Counter()  # codes of all variants of the file
        self.well_formed = 0  # units
        self.taken: dict[str, Counter[str]] = {source: Counter(), target: Counter()}
        self._matches: dict[str, str | None] = {}
        self.units = Units([], [], [])
        self._start_parser()

    def restart(self, lines: int) -> bytes:
        """Continue with a new parser between two units.

        Args:
            lines: line feeds before its first byte.

        Returns:
            What the parser has been fed with, so that it is inside of the body.
        """
        self._start_parser(lines)
        prefix = (b'<!DOCTYPE tmx SYSTEM "">' if self.has_dtd else b"") + b"<tmx><body>"
        self.parser.Parse(prefix, False)
        return prefix

    def _start_parser(self, lines: int = 0) -> None:
        self.lines, self.unit_start, self.depth, self.native, self.gap = lines, 0, 0, 0, False
        self.unit: dict[str, tuple[bytes, str]] | None = None  # text and code, by language
        self.language: str | None = None
        self.code = ""
        self.seg: list[str] | None = None
        self.parser = parser = expat.ParserCreate("utf-8")
        parser.buffer_text = True
        parser.buffer_size = 1 << 16
        parser.StartDoctypeDeclHandler = self.doctype
        parser.EntityDeclHandler = self.refuse_entity
        parser.SkippedEntityHandler = self.known_entity
        parser.XmlDeclHandler = self.check_encoding
        parser.StartElementHandler = self.start
        parser.EndElementHandler = self.end
        parser.CharacterDataHandler = self.text

    def take(self) -> Units:
        units, self.units = self.units, Units([], [], [])
        return units

    def add_malformed(self, raw: bytes, count: int) -> None:
        for _ in range(count):
            self.units.sources.append(raw[:_RAW].replace(_MARK.encode(), b"\xff"))
            self.units.targets.append(None)
            self.units.malformed.append(True)

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            if self.unit is not None:
                raise _MalformedUnitError("nested too deep")
            problem = f"nested deeper than {_MAX_DEPTH} tags"
            raise UserError(problem, file=self.name, line=self.line, remedy="check that the file is TMX")
        if tag == "tu":
            if self.unit is not None:
                raise _MalformedUnitError("no </tu>")
            self.unit, self.unit_start = {}, self.parser.CurrentByteIndex
        elif tag == "tuv" and self.unit is not None:
            self.code = attributes.get("xml:lang", attributes.get("lang", ""))
            self.language = self._language_of(self.code)
            self.seen[self.code] += 1
        elif tag == "seg" and self.language is not None:
            self.seg, self.native, self.gap = [], 0, False
        elif tag in _NATIVE:
            self.native += 1
            self.gap |= tag in _STANDALONE

    def _language_of(self, code: str) -> str | None:
        """The language of the pair that a code names."""
        if code not in self._matches:
            self._matches[code] = next((x for x in self.languages if select_variant(x, [code])), None)
        return self._matches[code]

    def end(self, tag: str) -> None:
        self.depth -= 1
        if tag == "tu" and self.unit is not None:
            source, target = self.languages
            for language, side in ((source, self.units.sources), (target, self.units.targets)):
                text, code = self.unit.get(language, (None, ""))
                side.append(text)
                if text is not None:
                    self.taken[language][code] += 1
            self.units.malformed.append(False)
            self.well_formed += 1
            self.unit = self.language = self.seg = None
        elif tag == "seg" and self.seg is not None and self.unit is not None and self.language is not None:
            raw = "".join(self.seg).encode().replace(_MARK.encode(), b"\xff")
            before = self.unit.get(self.language)
            # The first of several variants, but the plain language before all of them.
            if before is None or select_variant(self.language, [before[1], self.code]) == [self.code]:
                self.unit[self.language] = raw, self.code
            self.seg = None
        elif tag == "tuv":
            self.language = None
        elif tag in _NATIVE:
            self.native -= 1

    def text(self, text: str) -> None:
        if self.seg is None or self.native:
            return
        if self.gap and self.seg and self.seg[-1][-1].isalnum() and text[0].isalnum():
            self.seg.append(" ")  # Anna<ph/>Berlin are two words
        self.gap = False
        self.seg.append(text)

    def doctype(self, _name: str, system: str | None, _public: str | None, _internal: int) -> None:
        self.has_dtd = system is not None

    def known_entity(self, name: str, is_parameter: bool) -> None:
        # A file with a DOCTYPE may use entities of a DTD, which is not fetched. Those of HTML are replaced, others stay text.
        if not is_parameter:
            self.text(chr(name2codepoint[name]) if name in name2codepoint else f"&{name};")

    def refuse_entity(self, name: str, *_: object) -> None:
        raise UserError(
            f"declares an entity `{name}`", file=self.name, line=self.line, remedy="remove the declaration"
        )

    def check_encoding(self, _version: str, encoding: str | None, _standalone: int) -> None:
        # Tools that convert a file from UTF-16 leave its declaration. It is wrong, because it could be read.
        if (encoding or "utf-8").lower() not in ("utf-8", "utf8", "us-ascii", "utf-16", "utf-16le", "utf-16be"):
            remedy = f"convert it: iconv -f {encoding} -t UTF-8, and change its first line"
            raise UserError(f"is encoded in {encoding}", file=self.name, line=1, remedy=remedy)

    @property
    def line(self) -> int:
        return self.lines + self.parser.CurrentLineNumber
