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
from collections.abc import Iterable, Iterator
from xml.parsers import expat

from xner_ray.corpora.readers.archive import Stream
from xner_ray.corpora.readers.line_reader import BLOCK, MAX_LINE, strip_bom, too_long_line
from xner_ray.corpora.readers.tmx_units import INVALID_BYTES, MalformedUnitError, UnitHandler, Units
from xner_ray.errors import UserError
from xner_ray.language_codes import known_language, plain_language

_BROKEN = re.compile("[\ud800-\udfff]+")
_PIECE = 1 << 16  # bytes for one call of expat; after an error at most this much is parsed again
_ROWS = 4096
_UNIT_START = re.compile(rb"<tu(?=[\s/>])")
_UNIT_EDGE = re.compile(rb"<tu(?=[\s/>])|</tu\s*>")
_UNIT_END = re.compile(rb"</tu\s*>")
_CLOSING_TAGS = re.compile(rb"(?:\s*</[^<>]*>)+\s*")


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
    handler = UnitHandler(stream.name, source, target)
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


class _Document:
    """Feeds expat, and continues after errors.

    Attributes:
        buffer: the bytes from the start of the current unit or token on.
        fed: how many of them expat has got.
        origin: index in `buffer` of the byte that expat counts as its first; usually negative.
        counted, lines: the line feeds before `buffer[counted]`.
        recovered: an error was skipped. The parser then no longer knows the elements around the units.
    """

    def __init__(self, stream: Stream, handler: UnitHandler):
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
        except (expat.ExpatError, MalformedUnitError) as error:
            return self._recover(error)
        self.fed += len(piece)
        if self.fed - self._needed() > MAX_LINE:
            if self.handler.unit is None:
                raise too_long_line(self.handler.name, self._line(self._needed()))
            return self._recover(MalformedUnitError("too long"))  # usually a comment or CDATA section without an end
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

    def _recover(self, error: expat.ExpatError | MalformedUnitError) -> bool:
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
    """The file in blocks of UTF-8, with `INVALID_BYTES` for bytes that are not UTF-8."""
    decoder, first = codecs.getincrementaldecoder("utf-8")("surrogateescape"), True
    while data := stream.read(BLOCK // 4):
        if first:
            data, first = strip_bom(data, stream.name), False
        if block := _BROKEN.sub(INVALID_BYTES, decoder.decode(data)).encode():
            yield block
    if block := _BROKEN.sub(INVALID_BYTES, decoder.decode(b"", final=True)).encode():
        yield block
