"""Scripts: in which one a text is written, and in which ones a language may be.

The script of a letter is the first word of its Unicode name (LATIN, CJK, HIRAGANA). Chinese has one script here; Traditional
and Simplified text differ in the characters that only one of two national character sets contains.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable
from functools import cache

from xner_ray.language_codes import default_script, known_language

# No spaces between words.
UNSPACED = frozenset({"CJK", "HIRAGANA", "KATAKANA", "THAI", "KHMER", "LAO", "MYANMAR", "TIBETAN"})


def _table(text: str) -> dict[str, frozenset[str]]:
    words = text.split()
    return {key: frozenset(values.split("+")) for key, values in zip(words[::2], words[1::2], strict=True)}


# Unicode names by ISO 15924 code.
_NAMES = _table(
    """
Arab ARABIC      Armn ARMENIAN   Beng BENGALI     Cans CANADIAN   Cher CHEROKEE   Cyrl CYRILLIC   Deva DEVANAGARI
Ethi ETHIOPIC    Geor GEORGIAN   Grek GREEK       Gujr GUJARATI   Guru GURMUKHI   Hans CJK        Hant CJK
Hebr HEBREW      Khmr KHMER      Knda KANNADA     Laoo LAO        Latn LATIN      Mlym MALAYALAM  Mong MONGOLIAN
Mymr MYANMAR     Nkoo NKO        Orya ORIYA       Sinh SINHALA    Syrc SYRIAC     Taml TAMIL      Telu TELUGU
Tfng TIFINAGH    Thaa THAANA     Thai THAI        Tibt TIBETAN    Kore HANGUL+CJK
Jpan CJK+HIRAGANA+KATAKANA
"""
)
# Further scripts of languages that have no single one.
_FURTHER = _table(
    """
az Cyrl+Arab    bs Cyrl    crh Cyrl+Latn    ha Arab    iu Latn    kab Tfng    kk Latn+Arab    ks Deva    ku Arab+Cyrl
ky Latn+Arab    mn Mong    ms Arab    pa Arab    sd Deva    sh Cyrl    so Arab    sr Latn    tg Latn+Arab    tk Cyrl+Arab
tt Latn    ug Latn+Cyrl    uz Cyrl+Arab
"""
)


def expected_scripts(code: str) -> frozenset[str] | None:
    """The scripts of a language, by their Unicode names. A code may name its script: `sr_Latn`.

    Returns:
        None where the script of the language is not known.
    """
    known = known_language(code)
    script = default_script(known) if known else None
    if known is None or script not in _NAMES:
        return None
    return _NAMES[script].union(*(_NAMES[x] for x in _FURTHER.get(known, ())))


def letter_scripts(text: str) -> Counter[str]:
    """Number of letters of a text by script."""
    counts = Counter(text)
    scripts: Counter[str] = Counter()
    for character, n in counts.items():
        if script := _script(character):
            scripts[script] += n
    return scripts


@cache
def _script(character: str) -> str | None:
    if not character.isalpha():
        return None
    words = unicodedata.name(character, "").split()
    while words and words[0] in ("FULLWIDTH", "HALFWIDTH", "MODIFIER", "MATHEMATICAL"):
        words.pop(0)
    return words[0] if words else None


def unspaced_share(texts: Iterable[str]) -> float:
    """Fraction of the letters that belong to a script without spaces between words; 0 where there are no letters."""
    scripts: Counter[str] = Counter()
    for text in texts:
        scripts.update(letter_scripts(text))
    return sum(scripts[x] for x in UNSPACED) / max(sum(scripts.values()), 1)


def chinese_script(text: str) -> str | None:
    """`Hant` or `Hans`, by the characters that only one of them has; None where there is none."""
    kinds = Counter(map(_chinese_kind, text))
    traditional, simplified = kinds["Hant"], kinds["Hans"]
    return None if traditional == simplified else "Hant" if traditional > simplified else "Hans"


@cache
def _chinese_kind(character: str) -> str | None:
    """GB 2312 holds Simplified characters, Big5 Traditional ones; most characters are in both."""
    if not "\u4e00" <= character <= "\u9fff":
        return None
    simplified, traditional = (_encodes(character, x) for x in ("gb2312", "big5"))
    return None if simplified == traditional else "Hans" if simplified else "Hant"


def _encodes(character: str, encoding: str) -> bool:
    try:
        character.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True
