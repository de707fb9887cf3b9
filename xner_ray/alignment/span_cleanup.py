"""Edges of spans: what hangs on to a name and is none of it.

Without spaces every character is a word and a span may end anywhere: one that holds a part of a Latin word or of a number
gets all of it (Wa of Wayne), and marks at its edges go (《华盛顿邮报). Elsewhere words do that, and an article at the front
goes (die Kommission), as gold sets have it; in lower case only, since La Coruña and Die Zeit are names.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from xner_ray.alignment.assignment import Found, distinct, take
from xner_ray.encoders.ragged import offsets_of
from xner_ray.text.arrow_strings import slices
from xner_ray.text.languages import get_language

# A Latin word or a number: what Chinese and Japanese writers set apart by script.
_FOREIGN = re.compile(r"[0-9A-Za-z\u00c0-\u024f](?:[.'’&-]?[0-9A-Za-z\u00c0-\u024f])*")
_EDGE = " \u3000\t·・、，。：；！？,.:;!?-–—…~～《》〈〉「」『』“”‘’\"'()（）[]【】/|"


def tidy(
    texts: Sequence[str], rows: np.ndarray, starts: np.ndarray, ends: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Spans with tidy edges.

    Args:
        texts: raw strings.
        rows, starts, ends: int [spans], the text of each span and its characters.

    Returns:
        starts, ends: int64 [spans]; equal where nothing but marks was there.
    """
    base = offsets_of(np.fromiter(map(len, texts), np.int64, len(texts)))[np.asarray(rows, np.int64)]
    words = np.array([m.span() for m in _FOREIGN.finditer("\n".join(texts))], np.int64).reshape(-1, 2)
    base = base + rows  # the joined texts have a line feed after each
    starts, ends = _widened(base + starts, base + ends, words)
    starts, ends = starts - base, ends - base
    found = slices(pa.array(texts, pa.string()), rows, starts, ends)
    sizes = ends - starts
    left = sizes - pc.utf8_length(pc.utf8_ltrim(found, _EDGE)).to_numpy()
    right = sizes - pc.utf8_length(pc.utf8_rtrim(found, _EDGE)).to_numpy()
    return starts + left, np.maximum(starts + left, ends - right)


def tidy_found(found: Found, texts: Sequence[str], text: np.ndarray, language: str, articles: bool = True) -> Found:
    """Candidates, as `decode.spans` returns them, with tidy edges: none empty, none twice.

    Args:
        texts: the distinct targets.
        text: int64 [queries], the target of each.
        language: of the targets.
        articles: whether they are left out.
    """
    rows, start, end = text[found["query"]], found["start"], found["end"]
    known = get_language(language)
    if not known.uses_spaces:
        start, end = tidy(texts, rows, start, end)
    elif articles and known.articles:
        start = _after_article(slices(pa.array(texts, pa.string()), rows, start, end), start, known.articles)
    return distinct(take(found | {"start": start, "end": end}, start < end))


def _after_article(surfaces: pa.Array, start: np.ndarray, articles: Sequence[str]) -> np.ndarray:
    """Starts moved behind an article and its space, where more follows."""
    rest = pc.replace_substring_regex(surfaces, rf"^(?:{'|'.join(articles)})\s+(\S)", r"\1")
    return start + (pc.utf8_length(surfaces).to_numpy() - pc.utf8_length(rest).to_numpy())


def _widened(starts: np.ndarray, ends: np.ndarray, words: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Spans that end inside of words (int64 [words, 2], in order), widened to their edges."""
    if not len(words):
        return starts, ends
    at = np.clip(np.searchsorted(words[:, 0], starts, side="right") - 1, 0, None)
    cut = (words[at, 0] < starts) & (starts < words[at, 1])
    starts = np.where(cut, words[at, 0], starts)
    at = np.clip(np.searchsorted(words[:, 0], ends, side="left") - 1, 0, None)
    cut = (words[at, 0] < ends) & (ends < words[at, 1])
    return starts, np.where(cut, words[at, 1], ends)
