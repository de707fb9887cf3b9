"""The translation units of a TMX file: handlers for expat that collect the two sides of each unit."""

from __future__ import annotations

from collections import Counter
from html.entities import name2codepoint
from typing import NamedTuple
from xml.parsers import expat

from xner_ray.errors import UserError
from xner_ray.language_codes import select_variant

INVALID_BYTES = "\U0010fffd"  # last private character of Unicode; text that contains it is counted as bad_utf8
_NATIVE = frozenset({"bpt", "ept", "it", "ph", "ut"})  # their content is markup of another format
_STANDALONE = frozenset({"it", "ph", "ut"})  # a line break, a tab or an image; bpt and ept are formatting
_MAX_DEPTH = 100
_RAW = 800  # bytes of a malformed unit that are kept for its excerpt

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


class MalformedUnitError(Exception):
    """A unit that is well-formed so far, but no unit of TMX."""


class UnitHandler:
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
            self.units.sources.append(raw[:_RAW].replace(INVALID_BYTES.encode(), b"\xff"))
            self.units.targets.append(None)
            self.units.malformed.append(True)

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            if self.unit is not None:
                raise MalformedUnitError("nested too deep")
            problem = f"nested deeper than {_MAX_DEPTH} tags"
            raise UserError(problem, file=self.name, line=self.line, remedy="check that the file is TMX")
        if tag == "tu":
            if self.unit is not None:
                raise MalformedUnitError("no </tu>")
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
            raw = "".join(self.seg).encode().replace(INVALID_BYTES.encode(), b"\xff")
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
