"""Occurrences of a name that are part of a longer name: the 中国 of 中国银行 is no mention of China.

Without spaces, every occurrence of a text seems to be a word. The longer name is known where the same pair has it as an aligned
span. Otherwise the table of languages knows the nouns that make a place the name of an organization.
"""

from __future__ import annotations

from collections.abc import Iterable

from xner_ray.text.languages import get_language


def outermost(occurrences: Iterable[tuple[int, int]], names: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Occurrences that are not part of one of some longer names.

    Args:
        occurrences: half-open character spans in a text.
        names: spans of names in the same text.
    """
    longer = list(names)
    return [(a, b) for a, b in occurrences if not any(c <= a and b <= d and b - a < d - c for c, d in longer)]


def continues_as_organization(text: str, end: int, language: str) -> bool:
    """Whether the text behind a place makes it the name of an organization.

    Args:
        text: raw text.
        end: end of the place, exclusive.
        language: of the text.
    """
    return text.startswith(get_language(language).organization_heads, end)
