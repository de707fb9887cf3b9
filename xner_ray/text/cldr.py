"""Names of countries and languages, from Unicode CLDR through Babel."""

from __future__ import annotations

from functools import cache

from xner_ray.language_codes import known_language
from xner_ray.text.languages import get_language

# Two-letter codes of CLDR that are no countries: the European Union, the euro zone, the United Nations, unknown, pseudo.
_NO_COUNTRY = frozenset({"EU", "EZ", "UN", "QO", "ZZ", "XA", "XB"})


def display_name(code: str) -> str:
    """The English name of a language (`German` for `de`, `Portuguese (Brazil)`); the code itself where CLDR has none."""
    from babel import Locale

    names = Locale("en").languages
    if code in names or "_" not in code:
        return names.get(code, code)
    locale = _locale(code)
    return str(locale.get_display_name("en")) if locale else code


@cache
def country_names(code: str) -> tuple[str, ...]:
    """Names of countries in a language, sorted; empty where CLDR lacks the language."""
    locale = _locale(code)
    if locale is None:
        return ()
    return tuple(sorted({str(n) for c, n in locale.territories.items() if len(c) == 2 and c not in _NO_COUNTRY}))


def cldr_translations(source: str, target: str) -> list[tuple[str, str]]:
    """Names of territories and languages in two languages.

    Args:
        source: language code of the first name of each pair.
        target: language code of the second name.

    Returns:
        Distinct (source name, target name) pairs, sorted by CLDR code; names too short to search for are left out.
        Empty where CLDR lacks one of the languages.
    """
    here, there = _locale(source), _locale(target)
    if here is None or there is None:
        return []
    entries = [
        (str(ours[code]), str(theirs[code]))
        for ours, theirs in ((here.territories, there.territories), (here.languages, there.languages))
        for code in sorted(set(ours) & set(theirs))
    ]
    shortest = 3 if get_language(target).uses_spaces else 2
    return list(dict.fromkeys(e for e in entries if len(e[1]) >= shortest and len(e[0]) >= 3))


def _locale(code: str):
    from babel import Locale, UnknownLocaleError

    try:
        return Locale.parse(code if "_" not in code else known_language(code) or code)
    except (UnknownLocaleError, ValueError):
        return None
