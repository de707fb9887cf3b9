"""One spelling for each language, for config, command line, corpora, catalog, tokenization and evaluation.

`normalize_language` accepts what people and files write: ISO 639-1, -2 and -3, BCP 47 tags, POSIX locales, deprecated codes, any
case. The result is an ISO 639 code, followed by `_SCRIPT` or `_REGION` where these name another text than the plain code does:

    zh_CN, zh-Hans, ZH, cmn, chi -> zh        zh-Hant -> zh_Hant        zh-Hant-TW -> zh_TW
    nb, nob -> no        iw -> he        swe -> sv        sr@latin -> sr_Latn        pt-br -> pt_BR

The library langcodes parses tags, and knows the registry of IANA and the likely subtags of CLDR.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from functools import cache

# Codes that langcodes would rename, although corpora and py3langid use them: Norwegian, Tagalog, Serbo-Croatian.
_KEPT = {
    "no": "no",
    "nor": "no",
    "nb": "no",
    "nob": "no",
    "tl": "tl",
    "tgl": "tl",
    "fil": "tl",
    "sh": "sh",
    "hbs": "sh",
}
_MODIFIERS = {"latin": "Latn", "cyrillic": "Cyrl", "devanagari": "Deva", "arabic": "Arab"}  # of POSIX locales
_COMMON = "ar bg cs da de el es et fa fi fr he hi hr hu id it ja ko nl pl pt ro ru sk sl sr sv th tr uk vi zh"
_SPECIAL = re.compile(r"und|mul|mis|zxx|q[a-t][a-z]")  # undetermined, several, no language, private use


class UnknownLanguageError(ValueError):
    """A code that names no language.

    Args:
        code: as given.

    Attributes:
        remedy: what to write instead.
    """

    def __init__(self, code: str):
        super().__init__(f"`{code}` is not the code of a language")
        near = suggest_languages(code)
        codes = " or ".join(f"`{x}` ({name})" for x, name in near)
        listing = "give an ISO 639 code, such as de, zh or pt_BR"
        self.remedy = f"did you mean {codes}? Otherwise {listing}" if near else listing


@cache
def normalize_language(code: str) -> str:
    """The spelling that the package uses.

    Args:
        code: a language code in any usual spelling.

    Raises:
        UnknownLanguageError: no language has the code.
    """
    import langcodes

    tag = _posix_to_bcp47(code)
    try:
        written = langcodes.Language.get(tag, normalize=False)
        parsed = langcodes.Language.get(langcodes.standardize_tag(tag, macro=True), normalize=False)
    except ValueError:
        raise UnknownLanguageError(code) from None
    name = _KEPT.get(written.language or "", parsed.language)
    valid = parsed.is_valid() and all(langcodes.tag_is_valid(x) for x in written.extlangs or ())
    if not (valid and name) or _SPECIAL.fullmatch(name) or parsed.private or parsed.extensions:
        raise UnknownLanguageError(code)
    if parsed.territory in ("XX", "ZZ"):
        raise UnknownLanguageError(code)
    # Serbo-Croatian has the script Latn in CLDR, but no script was written.
    script, region = (written if name in _KEPT.values() else parsed).script, parsed.territory
    implied = langcodes.Language.make(language=name, territory=region).maximize().script  # zh-TW is Hant
    if name == "zh" and (script or implied) == "Hans":
        script = region = None
    if name == "no" and region == "NO":
        region = None
    return "_".join(x for x in (name, script if script != implied else None, region, *(parsed.variants or ())) if x)


def _posix_to_bcp47(code: str) -> str:
    """`sr-Latn` of `sr@latin`, `sr_latin` and `sr.UTF-8@latin`."""
    tag, _, modifier = code.strip().partition("@")
    tag = tag.partition(".")[0].replace("_", "-")
    language, _, last = f"{tag}-{modifier}".strip("-").rpartition("-")
    if last.lower() in _MODIFIERS and language:
        return f"{language}-{_MODIFIERS[last.lower()]}"
    return tag


def known_language(code: str) -> str | None:
    """The normalized code; None: no language has the code."""
    try:
        return normalize_language(code)
    except UnknownLanguageError:
        return None


def plain_language(code: str) -> str:
    """The code without script and region: `zh` of `zh_TW`. A code that is not known stays as it is."""
    known = known_language(code)
    return known.partition("_")[0] if known else code


@cache
def default_script(code: str) -> str | None:
    """The script in which a language is usually written, as an ISO 15924 code such as Latn, Hans or Jpan."""
    import langcodes

    return langcodes.Language.get(code.replace("_", "-"), normalize=False).maximize().script


def select_variant(wanted: str, found: Iterable[str]) -> list[str]:
    """The codes of a file that name a wanted language.

    A plain code also selects its regional variants in the same script (`pt`: pt-BR). A code with a region selects this region
    only. Traditional Chinese is never selected by `zh`.

    Args:
        wanted: a normalized code.
        found: codes as a file spells them.

    Returns:
        Codes of `found`: those that name exactly the wanted language, else its variants.
    """
    exact, variants = [], []
    for code in found:
        known = known_language(code)
        if known == wanted or (known == "zh_Hant" and wanted == "zh_TW"):
            exact.append(code)
        elif known and _is_variant(known, wanted):
            variants.append(code)
    return exact or variants


def _is_variant(known: str, wanted: str) -> bool:
    name, _, rest = wanted.partition("_")
    if known.partition("_")[0] != name or (rest and default_script(wanted) == default_script(name)):
        return False
    return rest in ("", default_script(wanted)) and default_script(known) == default_script(wanted)


def suggest_languages(text: str) -> list[tuple[str, str]]:
    """Languages that a wrong code may mean: by their English or own name, or as the language of a country.

    Returns:
        At most three pairs of a code and an English name.
    """
    import langcodes
    from babel import Locale

    english = {str(name).lower(): code for code, name in Locale("en").languages.items()}
    word = re.sub(r"[^\w\s]|[\d_]", " ", text).strip().lower()
    codes = [x[word] for x in (english, _own_names()) if word in x][:1]
    if not codes and re.fullmatch(r"[a-z]{2}", word) and word not in ("xx", "zz"):
        likely = langcodes.Language.make(territory=word.upper()).maximize()  # cn and jp are countries
        codes = [likely.language] if word.upper() in Locale("en").territories and likely.language else []
    if not codes and len(word) > 3:
        names = english | _own_names()
        codes = [names[x] for x in difflib.get_close_matches(word, names, 3, 0.75)]
    known = dict.fromkeys(filter(None, map(known_language, codes)))
    return [(code, str(Locale("en").languages.get(code.replace("no", "nb"), code))) for code in known][:3]


@cache
def _own_names() -> dict[str, str]:
    """Codes by the name of the language in itself (deutsch, español)."""
    from babel import Locale

    return {str(Locale(code).languages[code]).lower(): code for code in _COMMON.split()}
