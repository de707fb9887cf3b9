"""Spaces that a word segmenter put into Chinese or Japanese text, which is written without spaces.

Some corpora contain the segmented text (MLQE-PE's Chinese). A model trained on it is worse on normal text: its subwords
never cross the gaps, so 北京 大学 teaches it little about 北京大学. Spaces beside Latin words and numbers stay, because writers
put spaces there.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

# Han, kana, and the punctuation of both scripts: a space between two of them is wrong.
_WIDE = "[\\p{Han}\\p{Hiragana}\\p{Katakana}ー\u3000-\u303f\uff00-\uffef“”‘’…—·]"
_GAP = rf"({_WIDE}) +({_WIDE})"


def remove_cjk_spaces(texts: pa.Array) -> pa.Array:
    """Remove spaces between two characters of Chinese or Japanese.

    Args:
        texts: string or large_string [n].

    Returns:
        Strings of the same type [n].
    """
    if not pc.any(pc.match_substring_regex(texts, _GAP)).as_py():
        return texts
    for _ in range(2):  # matches do not overlap, so the first pass leaves every second gap of `我 是 谁`
        texts = pc.replace_substring_regex(texts, _GAP, r"\1\2")
    return texts
