"""The few inflections a slot needs: possessives in German and Dutch, capitals, and the Spanish y/e and o/u.

Names are inflected by spelling alone, without a pronunciation dictionary. That trades away the few names whose spoken
end differs from the written one: a final c or a silent s is treated as it is written.

Rules: Duden, "Apostroph" and "Genitiv-s"; Taaladvies/Leidraad, "bezits-s"; RAE, Ortografía 2010, "e/u por y/o".
"""

from __future__ import annotations

import re

_GERMAN_SIBILANT = re.compile(r"(?:[sßzx]|ce)$", re.IGNORECASE)
_DUTCH_SIBILANT = re.compile(r"(?:[szxšž]|ch|sh|ce)$", re.IGNORECASE)
# A single long vowel wants an apostrophe (Anna's, Oslo's, Willy's); a diphthong does not (Shanghais, Disneys, Macaus).
_DUTCH_LONG_VOWEL = re.compile(r"(?:(?<!a)[aáà]|(?<!o)[oóò]|(?<![aeou])[uúü]|(?<![aeou])[iíïy])$", re.IGNORECASE)
_SPANISH_I = re.compile(r"(?:[ií](?![aeoáéó])|hi(?![aeoáéó])|hí)", re.IGNORECASE)
_SPANISH_O = re.compile(r"(?:[oó]|h[oó]|8|11(?!\d))", re.IGNORECASE)


def german_genitive(name: str) -> str:
    """`Annas`, `Marks’`, `des Finanzministeriums`, `des Kepler-Preises`: for a name without article the last word
    changes, for a ministry or a prize the head noun.

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
    """`Kellers`, `Anna's`, `Hans'`.

    >>> dutch_possessive("Rossi"), dutch_possessive("Shanghai"), dutch_possessive("Claes")
    ("Rossi's", 'Shanghais', "Claes'")
    """
    if _DUTCH_SIBILANT.search(name):
        return name + "'"
    return name + ("'s" if _DUTCH_LONG_VOWEL.search(name) else "s")


def genitive(name: str, language: str) -> str:
    """The form a `|gen` slot takes. Raises KeyError for a language whose frames must not use one."""
    return {"de": german_genitive, "nl": dutch_possessive}[language](name)


def capitalize(text: str) -> str:
    """First letter upper case, the rest untouched (str.capitalize would lower it)."""
    return text[:1].upper() + text[1:]


def spanish_conjunction(word: str, following: str) -> str:
    """`y` becomes `e` before the vowel i (e Italia, but y Hielo), `o` becomes `u` before the vowel o (u Oslo, u 8)."""
    if word == "y" and _SPANISH_I.match(following):
        return "e"
    if word == "o" and _SPANISH_O.match(following):
        return "u"
    return word
