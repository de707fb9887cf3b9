"""French articles and prepositions before a slot. A frame has the form for a feminine noun with an initial consonant.

`la {LOC.country}` becomes la France, le Japon or l'Italie; `en {LOC.country}` becomes en France or au Japon; `de
{PER.full}` becomes de or d'. Gender follows the spelling (Grevisse: countries in -e are feminine), with a list of
exceptions. An initial h or y counts as a consonant, which is right for most foreign names.
"""

from __future__ import annotations

import re

_VOWEL = re.compile(r"[aeiouàâäéèêëîïôöûüœ]", re.IGNORECASE)
_MARKER = re.compile(r"(?:^|(?<=[ «(\u00a0]))(de la|à la|la|en|le|du|au|de|que) $", re.IGNORECASE)
_GENDERED = ("LOC.country", "LOC.region")
_MASCULINE = frozenset("Mexique Mozambique Cambodge Zimbabwe Yorkshire".split())  # noqa: SIM905 (masculine, although they end in -e)
_FEMININE = frozenset(("Cornouailles", "Bahia"))

_BEFORE_VOWEL = {
    "de la": "de l'",
    "à la": "à l'",
    "la": "l'",
    "le": "l'",
    "du": "de l'",
    "au": "à l'",
    "de": "d'",
    "que": "qu'",
}
_BEFORE_MASCULINE = {"de la": "du ", "à la": "au ", "la": "le ", "en": "au ", "de": "du "}


def agree(before: str, name: str, kind: str) -> str:
    """Change the last word of the text before a name to agree with the name.

    Args:
        before: the text of the frame before the slot.
        name: the name in the slot.
        kind: kind of the slot.

    >>> agree("Nous allons en ", "Japon", "LOC.country"), agree("la carte de ", "Italie", "LOC.country")
    ('Nous allons au ', "la carte d'")
    """
    match = _MARKER.search(before)
    if not match:
        return before
    marker = match[1].lower()
    if _VOWEL.match(name):
        fitting = _BEFORE_VOWEL.get(marker)
    elif kind in _GENDERED and not is_feminine(name):
        fitting = _BEFORE_MASCULINE.get(marker)
    else:
        return before
    if fitting is None:
        return before
    return before[: match.start()] + (fitting.capitalize() if match[1][0].isupper() else fitting)


def is_feminine(name: str) -> bool:
    """Return whether a country or region is feminine, by its first word (Corée du Sud)."""
    first = name.split()[0]
    return first in _FEMININE or (first.endswith("e") and first not in _MASCULINE)


def elide(text: str) -> str:
    """Replace `de` before a vowel by `d'`.

    >>> elide("université de Athènes")
    "université d'Athènes"
    """
    return re.sub(rf"\bde (?={_VOWEL.pattern})", "d'", text, flags=re.IGNORECASE)
