"""Word tokenization: raw text to words as in CoNLL files, and words back to raw text.

Students learn on words of this tokenizer and are evaluated on words of gold files, so both must agree where an entity
may end.

In languages with spaces, text is split at white space and punctuation is separated. Kept whole, as in CoNLL-2002/2003
and Europarl, are hyphenated compounds, U.S. and z.B., J. before a surname, 1.5 and 3,000 and 2:1, Mittel- (German,
Dutch), 17. (German ordinals), zo'n and India's. English 's and n't and French l', d' and qu' are separate words. In
languages without spaces every character that is not white space is a word, ASCII included, as in People's Daily, MSRA
and Weibo (`2 0 0 8`). In Thai and related scripts, vowels and marks belong to the character that carries them.

One compiled regular expression does this, about 25,000 sentences a second on one core. The lists of abbreviations are
short, so a rare abbreviation is separated from its full stop. On development splits spaced by `detokenize`, over 99% of
the words come back in all four languages with spaces, and all but a few in ten thousand entities begin and end at a
word boundary.

Offsets are code points, half open, and exact: text is not normalized, and only white space and zero-width marks are
dropped.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

from xner_ray.text.languages import Language, get_language

CharSpan = tuple[int, int]
# Marks before or after the letter that carries them; they are not words.
_LEADING = r"\u0e40-\u0e44\u0ec0-\u0ec4"
_MARKS = (
    r"\u0300-\u036f\u0e30-\u0e3a\u0e45-\u0e4e\u0eb0-\u0ebc\u0ec8-\u0ece\u102b-\u103e\u1056-\u1059\u17b4-\u17d3\u3099\u309a"
    r"\ufe00-\ufe0f"
)

# White space and zero-width marks: they separate words and are not part of a word.
_GAP = r"\s\u200b\u200e\u200f\u2028-\u202e\u2060-\u2064\ufeff"
# Ranges of punctuation and symbols. All other characters are word characters, including combining marks and every script.
_PUNCT = (
    r"!-/:-@\[-^`{-~\x7f-\x9f\xa1-\xa9\xab\xac\xae-\xb1\xb4\xb6-\xb8\xbb\xbf\xd7\xf7\u05be\u05c0\u05c3\u060c\u061b\u061f"
    r"\u06d4\u0964\u0965\u2010-\u2027\u2030-\u205e\u20a0-\u20cf\u2190-\u2bff\u3001-\u3003\u3008-\u3011\u3014-\u301f\u30fb"
    r"\ufe30-\ufe6f\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65\U0001f000-\U0001faff"
)
_W = f"[^{_GAP}{_PUNCT}]"
_APOSTROPHE = "['’]"


def _kept_stop(language: Language) -> str:
    """A regular expression for a full stop that stays with the word before it."""
    by_length: dict[int, list[str]] = {}
    for name in language.abbreviations:
        by_length.setdefault(len(name), []).append(name)
    behind = [f"(?<=(?<!{_W})(?:{'|'.join(names)}))" for _, names in sorted(by_length.items())]
    behind.append(rf"(?<=(?<!{_W})[^\W\d_])")  # an initial
    if language.ordinal_stops:
        behind.append(r"(?<=\d)(?<!\d\d\d)(?<![.,:/]\d)(?<![.,:/]\d\d)")  # an ordinal: dem 17. Dezember
    else:
        behind.append(r"(?:(?<=\A\d)|(?<=\A\d\d))")  # a list's number: 1. Schumacher
    # U.S. keeps its full stop everywhere, other abbreviations only before more text.
    return rf"(?:(?<=\.[^\W\d_])\.|(?:{'|'.join(behind)})\.(?=[{_GAP}]+[^{_GAP}]))"


@cache
def _pattern(code: str) -> re.Pattern[str]:
    language = get_language(code)
    if not language.uses_spaces:
        return re.compile(f"[{_LEADING}]?[^{_GAP}][{_MARKS}]*")
    clitic = rf"{_APOSTROPHE}(?:[sSmMdD]|re|ve|ll|RE|VE|LL)(?!{_W})"
    joint = "|".join(
        [
            "[-\u2010\u2011&@·]",
            rf"(?!{clitic}){_APOSTROPHE}" if language.english_clitics else _APOSTROPHE,
            r"(?<=\d)[.,:/–](?=\d)",
            r"\.(?=[a-zß-öø-ÿ\d])|(?<=\d)\.",  # fnac.com, N.7, 1.FC; but `Berlin.Dann` lacks a space and is split
            rf"(?<!{_W}{_W})\.",  # U.S, T.O'Gorman
        ]
    )
    core = rf"{_W}+(?:(?:{joint}){_W}+)*{_kept_stop(language)}?"
    if language.suspended_hyphens:
        core += rf"(?:-(?=[{_GAP},/)]))?"  # Mittel- und Osteuropa
    if language.english_clitics:
        core = rf"(?<={_W}){clitic}|n{_APOSTROPHE}t(?!{_W})|{_W}+?(?=n{_APOSTROPHE}t(?!{_W}))|{core}"
    elif language.elision:
        core = rf"{language.elision}|{core}"
    else:
        core = rf"{_APOSTROPHE}(?=(?:s|t|n|k|m|r|ne|nen)(?!{_W})){_W}+|{core}"  # 's avonds, 'n
    return re.compile(
        r"(?:https?://|www\.)[^\s\"'<>()«»„“”]*[\w/]"
        rf"|{core}"
        rf"|(?<![.])(?<!{_W})[-+−]?\.?(?=\d)(?:{core})"
        rf"|{_APOSTROPHE}\d\d(?!{_W})"
        r"|\.{2,}|--+|''|``|==+|\*\*+"
        rf"|[^{_GAP}]"
    )


def tokenize_words(text: str, language: str) -> list[CharSpan]:
    """Split a raw text into words.

    Args:
        text: any string.
        language: ISO 639-1. An unknown language is treated as one with spaces and without abbreviations.

    Returns:
        Character spans of the words in order. They do not overlap, and none is empty or contains white space.
    """
    return [m.span() for m in _pattern(language).finditer(text)]


def join_tokens(tokens: Sequence[str], language: str) -> tuple[str, list[CharSpan]]:
    """Join tokens with one space, or without spaces in languages without spaces.

    Args:
        tokens: words of a sentence.
        language: ISO 639-1.

    Returns:
        The text, and the character span of each token.
    """
    gap = 1 if get_language(language).uses_spaces else 0
    spans, at = [], 0
    for token in tokens:
        spans.append((at, at + len(token)))
        at += len(token) + gap
    return (" " if gap else "").join(tokens), spans


_NO_SPACE_BEFORE = frozenset((*".,;:!?…)]}%’°º”", "..."))
_NO_SPACE_AFTER = frozenset("([{¿¡#„‚‘@")
_CURRENCY = frozenset("$£€")
_CLITIC = re.compile(rf"{_APOSTROPHE}(?:s|m|d|re|ve|ll)|n{_APOSTROPHE}t", re.IGNORECASE)


def detokenize(tokens: Sequence[str], language: str) -> tuple[str, list[CharSpan]]:
    """Join tokens with natural spacing.

    There is no space before closing punctuation, after opening brackets and around `/`. Ambiguous quotation marks open and
    close in turn. English 's and n't and French l' are attached. In Chinese, two Latin words keep the space between them.
    The result resembles the raw text that a model was trained on; `join_tokens` is the plain alternative.

    Args:
        tokens: words of a sentence.
        language: ISO 639-1.

    Returns:
        The text, and the character span of each token.
    """
    row = get_language(language)
    pieces: list[str] = []
    spans, at, glue = [], 0, True
    inside: dict[str, bool] = {}
    for i, token in enumerate(tokens):
        before, after = _sides(tokens, i, row, inside)
        if not (glue or before):
            pieces.append(" ")
            at += 1
        pieces.append(token)
        spans.append((at, at + len(token)))
        at += len(token)
        glue = after
    return "".join(pieces), spans


def _sides(tokens: Sequence[str], i: int, language: Language, inside: dict[str, bool]) -> tuple[bool, bool]:
    """Whether token i has no space before it, and no space after it."""
    token, last = tokens[i], i == len(tokens) - 1
    if not language.uses_spaces:
        latin = not last and all(len(t) > 1 and t.isascii() and t.isalnum() for t in tokens[i : i + 2])
        return False, not latin
    if token in ('"', "''", "``", "'", "«", "»", "“"):
        return _quote(tokens, i, language, inside)
    if token == "/":
        return True, True
    if token in _CURRENCY:
        return False, not last and tokens[i + 1][:1].isdigit()
    if token == "%" and language.percent_after_space:
        return False, False
    if language.elision and re.fullmatch(language.elision.replace(r"(?=\w)", ""), token):
        return False, True
    if token in _NO_SPACE_BEFORE or (language.english_clitics and _CLITIC.fullmatch(token)):
        return True, False
    return False, token in _NO_SPACE_AFTER


def _quote(tokens: Sequence[str], i: int, language: Language, inside: dict[str, bool]) -> tuple[bool, bool]:
    """As `_sides`, for a quotation mark; `inside` holds which kinds of marks are open."""
    token = tokens[i]
    if token in ("``", "“") and not language.german_quotes:
        return False, True
    if token in ("“", "''"):
        return True, False
    if token in ("«", "»") and not language.german_quotes:
        return token == "»", token == "«"
    kind = "«" if token == "»" else token
    closes = inside.get(kind, False)
    if not closes and kind == "'" and "'" not in tokens[i + 1 :]:
        return True, False  # a single one is an apostrophe: the players' union
    inside[kind] = not closes
    return closes, not closes
