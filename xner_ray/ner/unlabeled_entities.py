"""Words that look like a name and have no label: where projected labels are silent, not where they say O.

`Gobierno`, `EFE`, `Wall Street`: where a capital letter inside a sentence marks a name, an unlabeled one is mostly a name that
the English side lacks or writes small. As O it teaches a student to forget what English taught it (Spanish ORG lost
ten points of recall); without a loss it teaches nothing. What it trades: some words are rightly O (`Presidente`).
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from xner_ray.encoders.ragged import offsets_of
from xner_ray.text.languages import get_language

_OPENING = [
    ".",
    ":",
    "!",
    "?",
    "…",
    "¿",
    "¡",
    "-",
    "–",
    "—",
    "•",
    "*",
    '"',
    "'",
    "“",
    "”",
    "‘",
    "’",
    "„",
    "«",
    "»",
    "‹",
    "›",
]


def doubtful(tokens: pa.ListArray, tags: pa.ListArray, language: str) -> pa.Array:
    """bool, flat over all words: capitalized, unlabeled, and not where a sentence or a quotation begins.

    Args:
        tokens, tags: list<string> [sentences], the same lengths.
        language: of the sentences, ISO 639-1.
    """
    words = tokens.flatten()
    if get_language(language).capitalizes_nouns or not len(words):
        return pa.array([False] * len(words), pa.bool_())
    before = pa.concat_arrays([pa.array([None], words.type), words.slice(0, len(words) - 1)])
    first = pa.array(range(len(words)), pa.int64())
    begins = pc.is_in(first, pa.array(offsets_of(pc.list_value_length(tokens).to_numpy())))
    opened = pc.or_(begins, pc.is_in(before, pa.array(_OPENING, words.type)))
    silent = pc.and_(pc.equal(tags.flatten(), "O"), pc.match_substring_regex(words, r"^\p{Lu}"))
    return pc.and_not(silent, opened)
