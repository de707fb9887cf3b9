"""Does the text of a gold file fit its language? What counts is whether the words of a language have spaces between them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

from xner_ray.errors import UserError
from xner_ray.text.cldr import display_name
from xner_ray.text.languages import get_language
from xner_ray.text.scripts import UNSPACED, expected_scripts, letter_scripts

_SENTENCES = 500  # that are looked at
_MIN_LETTERS = 20  # of gold that can be refused for a language without spaces
_MIN_SHARE = 0.05  # of the letters; Chinese text can hold many Latin names
_LANGUAGES = {
    "HIRAGANA": "ja",
    "KATAKANA": "ja",
    "CJK": "zh",
    "THAI": "th",
    "KHMER": "km",
    "LAO": "lo",
    "MYANMAR": "my",
    "TIBETAN": "bo",
}


def check_spacing(sentences: Sequence[Sequence[str]], language: str, path: str | Path) -> None:
    """Refuse text without spaces for a language that separates words by spaces, and the reverse.

    A tagger of the first would see words of one character. A tagger of the second would see a sentence as one word.

    Args:
        sentences: tokens.
        language: of the file.
        path: the file, for errors.

    Raises:
        UserError: more than half of the letters are Chinese, Japanese, Thai, Khmer, Lao, Burmese or Tibetan, and the language
            has spaces; or fewer than a twentieth of the letters are of its script, and the language has none.
    """
    scripts: Counter[str] = Counter(letter_scripts("".join(chain.from_iterable(sentences[:_SENTENCES]))))
    if not get_language(language).uses_spaces:
        _check_own_script(scripts, language, path)
        return
    unspaced = {script: scripts[script] for script in UNSPACED if scripts[script]}
    total, found = sum(scripts.values()), sum(unspaced.values())
    if found <= total / 2:
        return
    kana = scripts["HIRAGANA"] + scripts["KATAKANA"]
    code = "ja" if kana > total / 10 else _LANGUAGES[max(unspaced, key=lambda x: unspaced[x])]
    name = "Chinese" if code == "zh" else display_name(code)
    what = f"{found / total:.0%} of the letters are {name}, and {display_name(language)} (`{language}`) has words between spaces"
    remedy = f"give the language of the file: --language {code}, or `language: {code}` in the config"
    raise UserError(what, file=path, key="language", remedy=remedy)


def _check_own_script(scripts: Counter[str], language: str, path: str | Path) -> None:
    """Refuse text of another script for a language without spaces."""
    own, total = expected_scripts(language), sum(scripts.values())
    share = sum(scripts[x] for x in own or ()) / max(total, 1)
    if own is None or total < _MIN_LETTERS or share >= _MIN_SHARE:
        return
    name = scripts.most_common(1)[0][0]
    found = "Chinese characters" if name == "CJK" else f"{name.capitalize()} letters"
    what = f"most are {found}, and {share:.0%} of the letters are of the script of {display_name(language)} (`{language}`),"
    what += " which has no spaces between words"
    code = _LANGUAGES.get(name, "de")
    remedy = f"give the language of the file, such as --language {code}, or `language: {code}` in the config"
    raise UserError(what, file=path, key="language", remedy=remedy)
