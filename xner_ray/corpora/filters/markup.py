"""Escapes and tags that a corpus took over from HTML, XML and subtitle files: `O&apos;Brien`, `{\\an8}`, `<i>`.

They are decoded or removed before a pair is stored, so that no offset refers to them. Only escapes that end with a
semicolon are decoded, because `AT&T` and `?a=1&para=2` are text, and only known tags are removed, because `a < b` is text.
"""

from __future__ import annotations

import html
import re
import unicodedata

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_SUSPECT = r"&[#A-Za-z][0-9A-Za-z]*;|<[/A-Za-z]|\{[\\A-Za-z]"
_ESCAPE = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z][0-9A-Za-z]{1,31});")
_MAX_ESCAPED = 3  # &amp;amp;apos; was escaped three times
_BREAK = r"<(?:br|ph|p)(?:\s[^<>]{0,200})?/?>|\{\\(?![ibus][01]?\})[^{}]{0,200}\}"
_FORMAT = (
    r"</(?:p|ph|br)\s*>|</?(?:i|b|u|s|em|strong|font|span|c|v)(?:[\s.][^<>]{0,200})?/?>"
    r"|\{\\[ibus][01]?\}|\{[A-Za-z]:[^{} ]{1,40}\}"
)
_TAG = re.compile(f"(?P<break>{_BREAK})|{_FORMAT}", re.IGNORECASE)
_TAGS = re.compile(rf"\s*(?:(?:{_BREAK}|{_FORMAT})\s*)+", re.IGNORECASE)


def clean_markup(texts: pa.LargeStringArray) -> tuple[pa.LargeStringArray, np.ndarray, np.ndarray]:
    """Decode escapes, then remove tags. Python loops only over the texts that may contain some.

    Args:
        texts: large_string [n] without nulls.

    Returns:
        The texts; bool [n], an escape was decoded; bool [n], a tag was removed.
    """
    unescaped, untagged = np.zeros(len(texts), bool), np.zeros(len(texts), bool)
    suspect = pc.match_substring_regex(texts, _SUSPECT)
    index = np.flatnonzero(suspect.to_numpy(zero_copy_only=False))
    if not len(index):
        return texts, unescaped, untagged
    raw = texts.filter(suspect).to_pylist()
    decoded = [decode_escapes(text) for text in raw]
    plain = [remove_tags(text) for text in decoded]
    unescaped[index] = [a != b for a, b in zip(raw, decoded, strict=True)]
    untagged[index] = [a != b for a, b in zip(decoded, plain, strict=True)]
    return pc.replace_with_mask(texts, suspect, pa.array(plain, texts.type)), unescaped, untagged


def decode_escapes(text: str) -> str:
    """A text without HTML and XML escapes. Text that was escaped several times is decoded as often."""
    for _ in range(_MAX_ESCAPED):
        decoded = _ESCAPE.sub(_character, text)
        if decoded == text:
            break
        text = decoded
    return text


def _character(escape: re.Match[str]) -> str:
    decoded = html.unescape(escape[0])
    # An unknown name, or the number of no character, stays as it is. A line break becomes a space later.
    is_text = all(c in "\t\n\r" or unicodedata.category(c) not in ("Cc", "Cs", "Cn") for c in decoded)
    return decoded if decoded and is_text and "\ufffd" not in decoded else escape[0]


def remove_tags(text: str) -> str:
    """A text without subtitle and HTML tags. A tag that breaks a line, or several tags in a row, leave a space."""
    return _TAGS.sub(_gap, text)


def _gap(tags: re.Match[str]) -> str:
    found = list(_TAG.finditer(tags[0]))
    at_edge = tags.start() == 0 or tags.end() == len(tags.string)
    separates = len(found) > 1 or found[0]["break"] or any(c.isspace() for c in (tags[0][0], tags[0][-1]))
    return " " if separates and not at_edge else ""
