"""Label conventions of the target gold for words that a translation makes of a name: Berliner Mauer, US-Präsident.

Projection gives a span the type of its source entity, but gold follows the guidelines of its own language. CoNLL-2003 and
CoNLL-2002 Dutch label words that are derived from a name or compounded with one as MISC (`Londense`, `FDP-Chef`), as they do
with English `American` and `Iraq-backed`. Spanish gold does not label lowercase adjectives (`estadounidense`). Such words are as
frequent as the names, so a student that learns projected types learns errors. The config gives the type of such words by
language; without it they keep the projected type. All rules are Arrow's regular expressions, except for compounds: a loop
runs over the distinct ones.
"""

from __future__ import annotations

import re

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from xner_ray.config import RulesConfig
from xner_ray.text.arrow_kernels import bool_mask
from xner_ray.text.languages import get_language

NO_ENTITY = "O"
_COMPOUND = r"[^\s-]-\p{L}[^\s-]*$"
_NAME_PREFIX = r"^(?:nord|süd|ost|west|nordost|nordwest|südost|südwest|zentral|mittel|ober|unter|nieder|neu|alt|groß)$"
_SHARED_LETTERS = 4  # a word and its translation start with at least so many equal letters, when they are one word


def apply_conventions(
    types: pa.Array, names: pa.Array, surfaces: pa.Array, following: pa.Array, language: str, rules: RulesConfig
) -> pa.Array:
    """Types of spans by the conventions of one language.

    Args:
        types: string [spans], types of the source entities.
        names: string [spans], texts of the source entities.
        surfaces: string [spans], texts of the spans.
        following: string [spans], the two characters after each span.
        language: of the spans, ISO 639-1.
        rules: `derived_word_type`, `lowercase_word_type` and `surface_type_overrides`; later ones override earlier ones.

    Returns:
        string [spans], NO_ENTITY for spans that are no entities in this language.
    """
    result = types.cast(pa.string())
    if language in rules.derived_word_type:
        is_derived = _is_compound(names, surfaces, language) | _has_derived_ending(
            types, names, surfaces, following, language
        )
        result = pc.if_else(pa.array(is_derived), rules.derived_word_type[language], result)
    if language in rules.lowercase_word_type:
        is_lowercase = _matches(surfaces, r"^\p{Ll}\S*$") & _matches(names, r"^\p{Lu}")
        result = pc.if_else(pa.array(is_lowercase), rules.lowercase_word_type[language], result)
    if overrides := rules.surface_type_overrides.get(language):
        index = pc.index_in(surfaces, pa.array(overrides, pa.string()))
        result = pc.coalesce(pc.take(pa.array(overrides.values(), pa.string()), index), result)
    return result


def is_entity_type(types: pa.Array) -> np.ndarray:
    """bool [spans], False for NO_ENTITY."""
    return bool_mask(pc.not_equal(types, NO_ENTITY))


def _matches(strings: pa.Array, pattern: str) -> np.ndarray:
    return bool_mask(pc.match_substring_regex(strings, pattern))


def _has_derived_ending(
    types: pa.Array, names: pa.Array, surfaces: pa.Array, following: pa.Array, language: str
) -> np.ndarray:
    """bool [spans], places with the ending of a derived word, where the source name has no such ending."""
    derived = get_language(language).derived_ending
    if derived is None:
        return np.zeros(len(types), bool)
    is_place = bool_mask(pc.equal(types, "LOC"))
    has_ending = _matches(surfaces, derived.ending) & ~_matches(names, derived.source_ending)
    return is_place & has_ending & _matches(following, derived.followed_by)


def _is_compound(names: pa.Array, surfaces: pa.Array, language: str) -> np.ndarray:
    """bool [spans], compounds with more parts than the name, whose last part is no part of the name: FDP-Chef of FDP, but not
    Max-Planck-Institut of Max Planck Institute.
    """
    mask = _matches(surfaces, _COMPOUND)
    candidates = np.flatnonzero(mask)
    pairs = list(zip(*(x.take(pa.array(candidates)).to_pylist() for x in (names, surfaces)), strict=True))
    results = {(name, surface): _is_compound_of(name, surface, language) for name, surface in set(pairs)}
    mask[candidates] = [results[pair] for pair in pairs]
    return mask


def _is_compound_of(name: str, surface: str, language: str) -> bool:
    parts, name_parts = re.split(r"[\s-]+", surface.casefold()), re.split(r"[\s-]+", name.casefold())
    last, before = parts[-1], parts[-2]
    if get_language(language).capital_marks_name and surface[-len(last)].isupper():
        return False  # Groot-Brittannië: nouns are lowercase in this language, so the capital marks a name
    if re.match(_NAME_PREFIX, before):
        return False  # Nord-Irak: the prefix is a part of the name
    return len(parts) > len(name_parts) and not any(
        last[:_SHARED_LETTERS] == part[:_SHARED_LETTERS] for part in name_parts
    )
