"""TMX, read with expat one translation unit at a time, so memory does not depend on the size of the file.

XML needs a Python call for each tag, so this reader is several times slower than the others. Hostile files are limited:
a file's own entities are refused (so nothing expands), nothing external is fetched, and depth and token size are
bounded. Expat stops at the first byte that is not UTF-8. To lose one row instead of the file, such bytes become a
private character before expat and an invalid byte after it, which the filter `bad_utf8` detects.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from html.entities import name2codepoint
from xml.parsers import expat

from xner_ray.corpora.readers.archive import Stream
from xner_ray.corpora.readers.line_reader import BLOCK, MAX_LINE, strip_bom, too_long_line
from xner_ray.errors import UserError

_MARK = "\U0010fffd"  # last private character of Unicode; text that contains it is counted as bad_utf8
_BROKEN = re.compile("[\ud800-\udfff]+")
_NATIVE = frozenset({"bpt", "ept", "it", "ph", "ut"})  # their content is markup of another format
_MAX_DEPTH = 100

Column = list[bytes | None]


def read_units(stream: Stream, source: str, target: str) -> Iterator[tuple[Column, Column]]:
    """Read translation units.

    Args:
        stream: the file.
        source: source language code.
        target: target language code.

    Yields:
        Source sides and target sides, lists of several thousand; None where a unit lacks the language.

    Raises:
        UserError: the file is not well-formed, is truncated, is not UTF-8 or declares entities.
    """
    handler = _Units(stream.name, source.lower(), target.lower())
    decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    parser, fed, first = handler.parser, 0, True
    while True:
        data = stream.read(BLOCK // 4)
        if first:
            if not data:
                return
            data, first = strip_bom(data, stream.name), False
        text = _BROKEN.sub(_MARK, decoder.decode(data, final=not data)).encode()
        fed += len(text)
        try:
            parser.Parse(text, not data)
        except expat.ExpatError as e:
            what = f"is not well-formed XML, or truncated: {expat.ErrorString(e.code)}"
            raise UserError(
                what, file=stream.name, line=e.lineno, remedy="fetch the file again or repair it"
            ) from None
        if fed - max(parser.CurrentByteIndex, 0) > MAX_LINE and data:
            raise too_long_line(stream.name, parser.CurrentLineNumber)
        if handler.sources:
            yield handler.take()
        if not data:
            return


class _Units:
    """The handlers of expat, and the state of the current unit."""

    def __init__(self, name: str, source: str, target: str):
        self.name, self.languages = name, (source, target)
        self.sources: Column = []
        self.targets: Column = []
        self.unit: dict[str, bytes] | None = None
        self.language: str | None = None
        self.seg: list[str] | None = None
        self.seg_chars = self.depth = self.native = 0
        self.parser = parser = expat.ParserCreate("utf-8")
        parser.buffer_text = True
        parser.buffer_size = 1 << 16
        parser.StartElementHandler = self.start
        parser.EndElementHandler = self.end
        parser.CharacterDataHandler = self.text
        parser.EntityDeclHandler = self.refuse_entity
        parser.SkippedEntityHandler = self.known_entity
        parser.XmlDeclHandler = self.check_encoding

    def take(self) -> tuple[Column, Column]:
        units = self.sources, self.targets
        self.sources, self.targets = [], []
        return units

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise UserError(
                f"nested deeper than {_MAX_DEPTH} tags",
                file=self.name,
                line=self.line,
                remedy="check that the file is TMX",
            )
        if tag == "tu":
            self.unit = {}
        elif tag == "tuv" and self.unit is not None:
            code = attributes.get("xml:lang", attributes.get("lang", "")).lower().replace("_", "-")
            self.language = next((x for x in self.languages if code == x or code.startswith(f"{x}-")), None)
        elif tag == "seg" and self.language is not None:
            self.seg, self.seg_chars = [], 0
        elif tag in _NATIVE:
            self.native += 1

    def end(self, tag: str) -> None:
        self.depth -= 1
        if tag == "tu" and self.unit is not None:
            source, target = self.languages
            self.sources.append(self.unit.get(source))
            self.targets.append(self.unit.get(target))
            self.unit = self.language = self.seg = None
        elif tag == "seg" and self.seg is not None and self.unit is not None and self.language is not None:
            raw = "".join(self.seg).encode()
            self.unit.setdefault(self.language, raw.replace(_MARK.encode(), b"\xff"))  # the first of several variants
            self.seg = None
        elif tag == "tuv":
            self.language = None
        elif tag in _NATIVE:
            self.native -= 1

    def text(self, text: str) -> None:
        if self.seg is None or self.native:
            return
        self.seg_chars += len(text)
        if self.seg_chars > MAX_LINE:
            raise too_long_line(self.name, self.line)
        self.seg.append(text)

    def known_entity(self, name: str, is_parameter: bool) -> None:
        # A file with a DOCTYPE may use entities of a DTD, which is not fetched. Those of HTML are replaced, others stay text.
        if not is_parameter:
            self.text(chr(name2codepoint[name]) if name in name2codepoint else f"&{name};")

    def refuse_entity(self, name: str, *_: object) -> None:
        raise UserError(
            f"declares an entity `{name}`", file=self.name, line=self.line, remedy="remove the declaration"
        )

    def check_encoding(self, _version: str, encoding: str | None, _standalone: int) -> None:
        if (encoding or "utf-8").lower() not in ("utf-8", "utf8", "us-ascii"):
            remedy = f"convert it: iconv -f {encoding} -t UTF-8, and change its first line"
            raise UserError(f"is encoded in {encoding}", file=self.name, line=1, remedy=remedy)

    @property
    def line(self) -> int:
        return self.parser.CurrentLineNumber
