"""Finds capitalized words without a label: tokens that are probably names, although no label was projected.

Examples are `Gobierno`, `EFE` and `Wall Street`. Inside a sentence, a capitalized word without a label is mostly a name that
the source sentence lacks or writes in lower case. As O it teaches a student to miss names: Spanish ORG lost ten points of
recall. The student is therefore trained without a loss on such words. The cost is that some of them are really O (`Presidente`).
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from xner_ray.encoders.ragged import offsets_of
from xner_ray.text.languages import get_language

# After these a capital letter may only mark the start of a sentence or quotation.
_OPENING_MARKS = [*".:!?…¿¡-–—•*", *"\"'“”‘’„«»‹›"]


def unlabeled_capitalized(tokens: pa.ListArray, tags: pa.ListArray, language: str) -> pa.Array:
    """Capitalized words that are tagged O and do not start a sentence or a quotation.

    Args:
        tokens: list<string> [sentences], the words.
        tags: list<string> [sentences], their BIO2 tags.
        language: of the sentences, ISO 639-1.

    Returns:
        bool [words of all sentences].
    """
    words = tokens.flatten()
    if get_language(language).capitalizes_nouns or not len(words):
        return pa.array([False] * len(words), pa.bool_())
    previous = pa.concat_arrays([pa.array([None], words.type), words.slice(0, len(words) - 1)])
    index = pa.array(range(len(words)), pa.int64())
    starts_sentence = pc.is_in(index, pa.array(offsets_of(pc.list_value_length(tokens).to_numpy())))
    after_opening = pc.is_in(previous, pa.array(_OPENING_MARKS, words.type))
    capitalized_o = pc.and_(pc.equal(tags.flatten(), "O"), pc.match_substring_regex(words, r"^\p{Lu}"))
    return pc.and_not(capitalized_o, pc.or_(starts_sentence, after_opening))
