"""Spaces that a word segmenter put into Chinese or Japanese: taken out, as nobody writes them.

Some corpora ship the tokenized side (MLQE-PE's Chinese). A model that has read such text is unsure of all other: pieces of
its vocabulary cross the gaps, and what it learned of `北京 大学` it does not know of 北京大学. Spaces beside Latin words
and numbers stay; writers set those apart.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

# Han, kana, and the marks of both scripts: between two of them a space separates nothing.
_WIDE = "[\\p{Han}\\p{Hiragana}\\p{Katakana}ー\u3000-\u303f\uff00-\uffef“”‘’…—·]"
_GAP = rf"({_WIDE}) +({_WIDE})"


def without_gaps(texts: pa.Array) -> pa.Array:
    """The same strings without spaces between two characters of Chinese or Japanese."""
    if not pc.any(pc.match_substring_regex(texts, _GAP)).as_py():
        return texts
    for _ in range(2):  # matches do not overlap, so the first pass leaves every second gap of `我 是 谁`
        texts = pc.replace_substring_regex(texts, _GAP, r"\1\2")
    return texts
