"""Inflections in slots: possessives in German and Dutch, capital letters, and the Spanish y/e and o/u.

Names are inflected by their spelling, without a pronunciation dictionary. This is wrong for the few names with a final
c or a silent s that is pronounced differently.

Rules: Duden, "Apostroph" and "Genitiv-s"; Taaladvies/Leidraad, "bezits-s"; RAE, Ortografía 2010, "e/u por y/o".
"""

from __future__ import annotations

import re

_GERMAN_SIBILANT = re.compile(r"(?:[sßzx]|ce)$", re.IGNORECASE)
_DUTCH_SIBILANT = re.compile(r"(?:[szxšž]|ch|sh|ce)$", re.IGNORECASE)
# A single long vowel needs an apostrophe (Anna's, Oslo's, Willy's); a diphthong does not (Shanghais, Disneys, Macaus).
_DUTCH_LONG_VOWEL = re.compile(r"(?:(?<!a)[aáà]|(?<!o)[oóò]|(?<![aeou])[uúü]|(?<![aeou])[iíïy])$", re.IGNORECASE)
_SPANISH_I = re.compile(r"(?:[ií](?![aeoáéó])|hi(?![aeoáéó])|hí)", re.IGNORECASE)
_SPANISH_O = re.compile(r"(?:[oó]|h[oó]|8|11(?!\d))", re.IGNORECASE)


def german_genitive(name: str) -> str:
    """Return the German genitive. In a name without article the last word changes, in a ministry or prize the head noun.

    >>> german_genitive("Anna Keller"), german_genitive("Leipzig"), german_genitive("Graz")
    ('Anna Kellers', 'Leipzigs', 'Graz’')
    """
    head, space, rest = name.partition(" ")
    if head.endswith("ministerium"):
        return f"{head}s{space}{rest}"
    if name.endswith(("preis", "Preis")):
        return name + "es"
    return name + ("’" if _GERMAN_SIBILANT.search(name) else "s")


def dutch_possessive(name: str) -> str:
    """Return the Dutch possessive: `Kellers`, `Anna's`, `Hans'`.

    >>> dutch_possessive("Rossi"), dutch_possessive("Shanghai"), dutch_possessive("Claes")
    ("Rossi's", 'Shanghais', "Claes'")
    """
    if _DUTCH_SIBILANT.search(name):
        return name + "'"
    return name + ("'s" if _DUTCH_LONG_VOWEL.search(name) else "s")


def genitive(name: str, language: str) -> str:
    """Return the form of a name in a slot with `|gen`, in German or Dutch."""
    return {"de": german_genitive, "nl": dutch_possessive}[language](name)


def capitalize(text: str) -> str:
    """Change the first letter to upper case; str.capitalize would also lower the rest."""
    return text[:1].upper() + text[1:]


def spanish_conjunction(word: str, following: str) -> str:
    """`y` becomes `e` before the vowel i (e Italia, but y Hielo), `o` becomes `u` before the vowel o (u Oslo, u 8)."""
    if word == "y" and _SPANISH_I.match(following):
        return "e"
    if word == "o" and _SPANISH_O.match(following):
        return "u"
    return word
