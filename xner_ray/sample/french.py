"""French articles and prepositions before a slot: frames write what goes with a feminine consonant, names decide.

`la {LOC.country}` is la France, le Japon or l'Italie, `en {LOC.country}` en France or au Japon, `de {PER.full}` de or d'.
Genders follow the spelling (Grevisse: countries in -e are feminine), with the exceptions among the sample's names. The trade:
an initial h or y counts as a consonant, which is right for most foreign names.
"""

from __future__ import annotations

import re

_VOWEL = re.compile(r"[aeiouàâäéèêëîïôöûüœ]", re.IGNORECASE)
_MARKER = re.compile(r"(?:^|(?<=[ «(\u00a0]))(de la|à la|la|en|le|du|au|de|que) $", re.IGNORECASE)
_GENDERED = ("LOC.country", "LOC.region")
_MASCULINE = frozenset("Mexique Mozambique Cambodge Zimbabwe Yorkshire".split())  # noqa: SIM905 (in spite of their -e)
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
    """The literal before a name, its last word made to fit.

    Args:
        before: what the frame writes before the slot.
        name: the value; kind: of the slot.

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
    """Gender of a country or region: its first word decides (Corée du Sud)."""
    first = name.split()[0]
    return first in _FEMININE or (first.endswith("e") and first not in _MASCULINE)


def elide(text: str) -> str:
    """`université de Athènes` as it is written.

    >>> elide("université de Athènes")
    "université d'Athènes"
    """
    return re.sub(rf"\bde (?={_VOWEL.pattern})", "d'", text, flags=re.IGNORECASE)
