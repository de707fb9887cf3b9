"""What makes a pair unusable: one named rule a reason, tried in one order, over whole Arrow columns.

A row gets the first reason that applies, so counts by reason add up. Text is normalized only as far as labels need
it: the ends are stripped and what would break a line or a column becomes a space; nothing else changes, for character
offsets must point into what the corpus says. Scores are read here too, but `min_score` is no fault: ingest counts
such rows apart.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from xner_ray.corpora.readers.formats import Chunk
from xner_ray.corpora.readers.utf8 import invalid_rows, rows_of
from xner_ray.text.arrow_kernels import string_bytes

EXCERPT = 200  # characters of both sides together
_BREAKS = "[\t\n\v\f\r\u0085\u2028\u2029]+"
_NUMBER = r"^\s*[+-]?(\d{1,30}(\.\d{0,60})?|\.\d{1,60})([eE][+-]?\d{1,2})?\s*$"
_ESCAPES = {i: f"\\x{i:02x}" for i in [*range(32), *range(127, 160)]}
_ESCAPES |= {0xDC00 + byte: f"\\x{byte:02x}" for byte in range(128, 256)}  # what surrogateescape makes of bad bytes
_ESCAPES |= {0x5C: "\\\\", 0x2028: "\\u2028", 0x2029: "\\u2029"}


@dataclass(frozen=True)
class Pairs:
    """A chunk as the rules see it.

    missing, bad_utf8, control: bool masks. source, target: large_string, normalized, empty where they could not be
    read. score: float64, nan where there is none. bad_score: bool mask, a score that is no finite number.
    """

    source: pa.LargeStringArray
    target: pa.LargeStringArray
    missing: np.ndarray
    bad_utf8: np.ndarray
    control: np.ndarray
    score: np.ndarray
    bad_score: np.ndarray


@dataclass(frozen=True)
class Limits:
    """max_chars: longest side, characters after stripping. needs_score: a row without a score cannot be judged."""

    max_chars: int
    needs_score: bool = False


def prepare(chunk: Chunk) -> Pairs:
    """Decode and normalize both sides of a chunk and read its scores."""
    source, source_faults = _decode(chunk.source)
    target, target_faults = _decode(chunk.target)
    missing, bad, control = (a | b for a, b in zip(source_faults, target_faults, strict=True))
    score, unread = read_scores(chunk)
    return Pairs(source, target, missing, bad, control, score, unread)


def missing_column(pairs: Pairs, limits: Limits) -> np.ndarray:
    """The line has too few columns, or the unit lacks a language."""
    return pairs.missing


def bad_utf8(pairs: Pairs, limits: Limits) -> np.ndarray:
    """A side holds bytes that are not UTF-8."""
    return pairs.bad_utf8


def control_character(pairs: Pairs, limits: Limits) -> np.ndarray:
    """A side holds NUL, DEL or another control character: binary data or a broken conversion."""
    return pairs.control


def empty_source(pairs: Pairs, limits: Limits) -> np.ndarray:
    """Nothing but white space."""
    return pc.binary_length(pairs.source).to_numpy() == 0


def empty_target(pairs: Pairs, limits: Limits) -> np.ndarray:
    """Nothing but white space."""
    return pc.binary_length(pairs.target).to_numpy() == 0


def too_long(pairs: Pairs, limits: Limits) -> np.ndarray:
    """A side has more than `max_chars` characters."""
    longest = pc.max_element_wise(pc.utf8_length(pairs.source), pc.utf8_length(pairs.target))
    return longest.to_numpy(zero_copy_only=False) > limits.max_chars


def bad_score(pairs: Pairs, limits: Limits) -> np.ndarray:
    """The score is no finite number."""
    return pairs.bad_score


def missing_score(pairs: Pairs, limits: Limits) -> np.ndarray:
    """There is a `min_score` but this row has no score."""
    return np.isnan(pairs.score) & ~pairs.bad_score & limits.needs_score


Rule = Callable[[Pairs, Limits], np.ndarray]
RULES: tuple[Rule, ...] = (
    missing_column,
    bad_utf8,
    control_character,
    empty_source,
    empty_target,
    too_long,
    bad_score,
    missing_score,
)
REASONS = tuple(rule.__name__ for rule in RULES)


def judge(pairs: Pairs, limits: Limits) -> np.ndarray:
    """Per row the index in `REASONS` of the first rule that applies, int8; -1 for a good row."""
    verdict = np.full(len(pairs.missing), -1, np.int8)
    for i in reversed(range(len(RULES))):
        verdict[RULES[i](pairs, limits)] = i
    return verdict


def read_scores(chunk: Chunk) -> tuple[np.ndarray, np.ndarray]:
    """Scores as float64 with nan for none, and the mask of those that are no finite number of float32."""
    if chunk.score is None or chunk.score.null_count == len(chunk):
        return np.full(len(chunk), np.nan), np.zeros(len(chunk), bool)
    text = chunk.score.filter(pc.is_valid(chunk.score))
    number = pc.match_substring_regex(text, _NUMBER)
    # What the pattern passes is ASCII, so the cast to text cannot fail.
    ascii_text = pc.if_else(number, text, pa.scalar(None, pa.large_binary())).cast(pa.large_string())
    value = pc.utf8_trim_whitespace(ascii_text).cast(pa.float64())
    values = value.to_numpy(zero_copy_only=False)
    values = np.where(np.abs(values) <= np.finfo(np.float32).max, values, np.nan)
    absent = pc.match_substring_regex(text, r"^\s*$").to_numpy(zero_copy_only=False)
    score, bad = np.full(len(chunk), np.nan), np.zeros(len(chunk), bool)
    given = pc.is_valid(chunk.score).to_numpy(zero_copy_only=False)
    score[given], bad[given] = values, np.isnan(values) & ~absent
    return score, bad


def excerpts(chunk: Chunk) -> list[str]:
    """What quarantine shows of each row: a Python loop, but only over rows that were turned away."""
    return [_excerpt(a, b) for a, b in zip(chunk.source.to_pylist(), chunk.target.to_pylist(), strict=True)]


def _excerpt(source: bytes | None, target: bytes | None) -> str:
    # Bytes are cut first, so that a line of megabytes is not decoded for 200 characters; a half character shows
    # as \x..
    cut = [(side or b"").strip()[: 4 * EXCERPT] for side in (source, target)]
    sides = [side.decode("utf-8", "surrogateescape")[:EXCERPT] for side in cut]
    half = EXCERPT // 2
    cut_source = sides[0][: max(half, EXCERPT - len(sides[1]))]
    cut_target = sides[1][: max(half, EXCERPT - len(sides[0]))]
    return f"{cut_source.translate(_ESCAPES)} | {cut_target.translate(_ESCAPES)}"


def _decode(raw: pa.LargeBinaryArray) -> tuple[pa.LargeStringArray, list[np.ndarray]]:
    """The normalized text and the masks missing, bad_utf8, control."""
    missing = pc.is_null(raw).to_numpy(zero_copy_only=False)
    bad = invalid_rows(raw)
    if missing.any() or bad.any():
        raw = pc.if_else(pa.array(missing | bad), pa.scalar(b"", pa.large_binary()), raw)
    text = pc.utf8_trim_whitespace(raw.cast(pa.large_string()))
    data, offsets = string_bytes(text)
    breaks, control = _control_positions(data)
    if len(breaks):
        rows = rows_of(breaks, offsets)
        mended = pc.replace_substring_regex(text.filter(pa.array(rows)), _BREAKS, " ")
        text = pc.replace_with_mask(text, pa.array(rows), mended)
    return text, [missing, bad, rows_of(control, offsets) if len(control) else np.zeros(len(raw), bool)]


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
