"""Validity filters: named reasons why a pair cannot be used, applied in one order over whole Arrow columns.

A row gets the first reason that applies, so the counts of all reasons add up. Text is normalized only as far as labels
need it: escapes are decoded and tags removed (`markup.py`), both ends are stripped, and characters that would break a
line or a column become a space. Nothing else changes, because character offsets must refer to the text of the corpus.
Scores are read here too, but a score below `min_score` is not a reason: ingest counts these rows separately.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from xner_ray.corpora.filters.markup import clean_markup
from xner_ray.corpora.readers.formats import Chunk
from xner_ray.corpora.readers.utf8 import invalid_rows, rows_of
from xner_ray.text.arrow_kernels import string_bytes

EXCERPT = 200  # characters of both sides together
_BREAKS = "[\t\n\v\f\r\u0085\u2028\u2029]+"
_NUMBER = r"^\s*[+-]?(\d{1,30}(\.\d{0,60})?|\.\d{1,60})([eE][+-]?\d{1,2})?\s*$"
_ESCAPES = {i: f"\\x{i:02x}" for i in [*range(32), *range(127, 160)]}
# The result of surrogateescape for bad bytes.
_ESCAPES |= {0xDC00 + byte: f"\\x{byte:02x}" for byte in range(128, 256)}
_ESCAPES |= {0x5C: "\\\\", 0x2028: "\\u2028", 0x2029: "\\u2029"}


@dataclass(frozen=True)
class DecodedPairs:
    """A decoded chunk of n pairs.

    Attributes:
        source: large_string [n], normalized; empty where it cannot be decoded.
        target: large_string [n], likewise.
        malformed: bool [n], the row is no well-formed unit of TMX.
        missing: bool [n], a side is missing.
        bad_utf8: bool [n], a side is not UTF-8.
        control: bool [n], a side contains a control character.
        score: float64 [n], nan where there is none.
        bad_score: bool [n], the score is not a finite number.
        unescaped: bool [n], an escape such as `&amp;` was decoded in a side.
        untagged: bool [n], a tag such as `<i>` was removed from a side.
    """

    source: pa.LargeStringArray
    target: pa.LargeStringArray
    malformed: np.ndarray
    missing: np.ndarray
    bad_utf8: np.ndarray
    control: np.ndarray
    score: np.ndarray
    bad_score: np.ndarray
    unescaped: np.ndarray
    untagged: np.ndarray


@dataclass(frozen=True)
class Limits:
    """Settings of the filters.

    Attributes:
        max_chars: maximum length of a side, in characters after stripping.
        needs_score: a row without a score cannot be used.
    """

    max_chars: int
    needs_score: bool = False


def decode_pairs(chunk: Chunk) -> DecodedPairs:
    """Decode and normalize both sides of a chunk, and parse its scores."""
    source, source_faults = _decode(chunk.source)
    target, target_faults = _decode(chunk.target)
    masks = (a | b for a, b in zip(source_faults, target_faults, strict=True))
    missing, bad, control, unescaped, untagged = masks
    score, bad_score = parse_scores(chunk)
    malformed = np.zeros(len(chunk), bool) if chunk.malformed is None else chunk.malformed
    return DecodedPairs(source, target, malformed, missing, bad, control, score, bad_score, unescaped, untagged)


def malformed_unit(pairs: DecodedPairs, limits: Limits) -> np.ndarray:
    """The translation unit is not well-formed XML: a bare `&`, an illegal character, a missing tag."""
    return pairs.malformed


def missing_column(pairs: DecodedPairs, limits: Limits) -> np.ndarray:
    """The line has too few columns, or the translation unit lacks a language."""
    return pairs.missing


def bad_utf8(pairs: DecodedPairs, limits: Limits) -> np.ndarray:
    """A side is not UTF-8."""
    return pairs.bad_utf8


def control_character(pairs: DecodedPairs, limits: Limits) -> np.ndarray:
    """A side contains NUL, DEL or another control character: binary data or a failed conversion."""
    return pairs.control


def empty_source(pairs: DecodedPairs, limits: Limits) -> np.ndarray:
    """The source is only white space."""
    return pc.binary_length(pairs.source).to_numpy() == 0


def empty_target(pairs: DecodedPairs, limits: Limits) -> np.ndarray:
    """The target is only white space."""
    return pc.binary_length(pairs.target).to_numpy() == 0


def too_long(pairs: DecodedPairs, limits: Limits) -> np.ndarray:
    """A side has more than `max_chars` characters."""
    longest = pc.max_element_wise(pc.utf8_length(pairs.source), pc.utf8_length(pairs.target))
    return longest.to_numpy(zero_copy_only=False) > limits.max_chars


def bad_score(pairs: DecodedPairs, limits: Limits) -> np.ndarray:
    """The score is not a finite number."""
    return pairs.bad_score


def missing_score(pairs: DecodedPairs, limits: Limits) -> np.ndarray:
    """The config has a `min_score`, but this row has no score."""
    return np.isnan(pairs.score) & ~pairs.bad_score & limits.needs_score


Filter = Callable[[DecodedPairs, Limits], np.ndarray]
FILTERS: tuple[Filter, ...] = (
    malformed_unit,
    missing_column,
    bad_utf8,
    control_character,
    empty_source,
    empty_target,
    too_long,
    bad_score,
    missing_score,
)
REASONS = tuple(x.__name__ for x in FILTERS)


def first_reasons(pairs: DecodedPairs, limits: Limits) -> np.ndarray:
    """int8 [n]: index in `REASONS` of the first reason that applies; -1: the pair can be used."""
    reasons = np.full(len(pairs.missing), -1, np.int8)
    for i in reversed(range(len(FILTERS))):
        reasons[FILTERS[i](pairs, limits)] = i
    return reasons


def parse_scores(chunk: Chunk) -> tuple[np.ndarray, np.ndarray]:
    """Parse the scores of a chunk of n rows.

    Returns:
        score: float64 [n], nan where there is none.
        bad: bool [n], the score is not a finite float32.
    """
    if chunk.score is None or chunk.score.null_count == len(chunk):
        return np.full(len(chunk), np.nan), np.zeros(len(chunk), bool)
    text = chunk.score.filter(pc.is_valid(chunk.score))
    number = pc.match_substring_regex(text, _NUMBER)
    # Matches of the pattern are ASCII, so the cast to text cannot fail.
    ascii_text = pc.if_else(number, text, pa.scalar(None, pa.large_binary())).cast(pa.large_string())
    value = pc.utf8_trim_whitespace(ascii_text).cast(pa.float64())
    values = value.to_numpy(zero_copy_only=False)
    values = np.where(np.abs(values) <= np.finfo(np.float32).max, values, np.nan)
    absent = pc.match_substring_regex(text, r"^\s*$").to_numpy(zero_copy_only=False)
    score, bad = np.full(len(chunk), np.nan), np.zeros(len(chunk), bool)
    present = pc.is_valid(chunk.score).to_numpy(zero_copy_only=False)
    score[present], bad[present] = values, np.isnan(values) & ~absent
    return score, bad


def excerpts(chunk: Chunk) -> list[str]:
    """The beginning of both sides of each row, escaped, for the quarantine. Loops in Python, but only over quarantined rows."""
    return [_excerpt(a, b) for a, b in zip(chunk.source.to_pylist(), chunk.target.to_pylist(), strict=True)]


def _excerpt(source: bytes | None, target: bytes | None) -> str:
    # Bytes are cut first, so that megabytes are not decoded for 200 characters. An incomplete character becomes \x..
    cut = [(side or b"").strip()[: 4 * EXCERPT] for side in (source, target)]
    sides = [side.decode("utf-8", "surrogateescape")[:EXCERPT] for side in cut]
    half = EXCERPT // 2
    cut_source = sides[0][: max(half, EXCERPT - len(sides[1]))]
    cut_target = sides[1][: max(half, EXCERPT - len(sides[0]))]
    return f"{cut_source.translate(_ESCAPES)} | {cut_target.translate(_ESCAPES)}"


def _decode(raw: pa.LargeBinaryArray) -> tuple[pa.LargeStringArray, list[np.ndarray]]:
    """The normalized text and the masks missing, bad_utf8, control, unescaped, untagged."""
    missing = pc.is_null(raw).to_numpy(zero_copy_only=False)
    bad = invalid_rows(raw)
    if missing.any() or bad.any():
        raw = pc.if_else(pa.array(missing | bad), pa.scalar(b"", pa.large_binary()), raw)
    text, unescaped, untagged = clean_markup(raw.cast(pa.large_string()))
    text = pc.utf8_trim_whitespace(text)
    data, offsets = string_bytes(text)
    breaks, control = _control_positions(data)
    if len(breaks):
        rows = rows_of(breaks, offsets)
        replaced = pc.replace_substring_regex(text.filter(pa.array(rows)), _BREAKS, " ")
        text = pc.replace_with_mask(text, pa.array(rows), replaced)
    has_control = rows_of(control, offsets) if len(control) else np.zeros(len(raw), bool)
    return text, [missing, bad, has_control, unescaped, untagged]


def _control_positions(data: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Byte positions of line and column breaks, and of all other control characters, in valid UTF-8."""
    low = np.flatnonzero((data < 0x20) | (data == 0x7F))
    is_break = (data[low] >= 9) & (data[low] <= 13)
    c1 = np.flatnonzero(data == 0xC2)
    second = data[c1 + 1]
    wide = np.flatnonzero(data == 0xE2)
    wide = wide[(data[wide + 1] == 0x80) & ((data[wide + 2] == 0xA8) | (data[wide + 2] == 0xA9))]
    breaks = np.concatenate([low[is_break], c1[second == 0x85], wide])
    return breaks, np.concatenate([low[~is_break], c1[(second < 0xA0) & (second != 0x85)]])
