"""What a target language's gold tags where a translation makes another word of a name: Berliner Mauer, US-Präsident.

Projection gives a span its English entity's type, and gold follows the target's own guidelines. CoNLL-2003 and CoNLL-2002
Dutch tag words derived from a name or compounded with one as MISC (`Londense`, `FDP-Chef`), as they do English
`American` and `Iraq-backed`; Spanish gold leaves adjectives in lower case out (`estadounidense`). Such words are as
frequent as the names themselves, so a student that learns projected types learns errors. The rules see the pair of
names and what follows; a config says what becomes of them, by language, and without one they keep the projected type.
All of it is Arrow's regular expressions; only distinct compounds meet Python.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from xner_ray.text.languages import get_language

_COMPOUND = r"[^\s-]-\p{L}[^\s-]*$"
_NAMES_PART = r"^(?:nord|süd|ost|west|nordost|nordwest|südost|südwest|zentral|mittel|ober|unter|nieder|neu|alt|groß)$"
_LIKE = 4  # letters that a word and its translation share at least, when they are one word


def retype(
    types: pa.Array,
    names: pa.Array,
    surfaces: pa.Array,
    after: pa.Array,
    language: str,
    lowercase: Mapping[str, str],
    derived: Mapping[str, str],
    words: Mapping[str, Mapping[str, str]],
) -> pa.Array:
    """Types of spans by the conventions of one language.

    Args:
        types, names: string [spans], of the English entity: type and text.
        surfaces, after: string [spans], the span's text, and the two characters that follow it.
        lowercase, derived: a type or O for each language that has such a convention (see `config.RulesConfig`).
        words: by language a type or O for whole texts of spans; what it says comes last.

    Returns:
        string [spans]; O for spans that are no entities here.
    """
    changed = types.cast(pa.string())
    if language in derived:
        mask = _compounds(names, surfaces, language) | _endings(types, names, surfaces, after, language)
        changed = pc.if_else(pa.array(mask), derived[language], changed)
    if language in lowercase:
        mask = _matches(surfaces, r"^\p{Ll}\S*$") & _matches(names, r"^\p{Lu}")
        changed = pc.if_else(pa.array(mask), lowercase[language], changed)
    if own := words.get(language):
        which = pc.index_in(surfaces, pa.array(own, pa.string()))
        changed = pc.coalesce(pc.take(pa.array(own.values(), pa.string()), which), changed)
    return changed


def is_entity(types: pa.Array) -> np.ndarray:
    """bool: whose type is not O."""
    return pc.not_equal(types, "O").to_numpy(zero_copy_only=False)


def _matches(strings: pa.Array, pattern: str) -> np.ndarray:
    return pc.match_substring_regex(strings, pattern).to_numpy(zero_copy_only=False).astype(bool)


def _endings(types: pa.Array, names: pa.Array, surfaces: pa.Array, after: pa.Array, language: str) -> np.ndarray:
    derived = get_language(language).derived_ending
    if derived is None:
        return np.zeros(len(types), bool)
    places = pc.equal(types, "LOC").to_numpy(zero_copy_only=False).astype(bool)
    words = _matches(surfaces, derived.ending) & ~_matches(names, derived.source_ending)
    return places & words & _matches(after, derived.followed_by)


def _compounds(names: pa.Array, surfaces: pa.Array, language: str) -> np.ndarray:
    """Words of more parts than the name has, whose last part is none of the name's: FDP-Chef of FDP, but not Max-Planck-Institut
    of Max Planck Institute.
    """
    mask = _matches(surfaces, _COMPOUND)
    at = np.flatnonzero(mask)
    told, found = (strings.take(pa.array(at)).to_pylist() for strings in (names, surfaces))
    known = {pair: _is_compound(*pair, language) for pair in set(zip(told, found, strict=True))}
    mask[at] = [known[pair] for pair in zip(told, found, strict=True)]
    return mask


def _is_compound(name: str, surface: str, language: str) -> bool:
    parts, own = re.split(r"[\s-]+", surface.casefold()), re.split(r"[\s-]+", name.casefold())
    tail, before = parts[-1], parts[-2]
    if (get_language(language).capital_marks_name and surface[-len(tail)].isupper()) or re.match(_NAMES_PART, before):
        return False  # Groot-Brittannië, Nord-Irak: a part of the name; Dutch writes nouns in lower case
    return len(parts) > len(own) and not any(tail[:_LIKE] == part[:_LIKE] for part in own)
