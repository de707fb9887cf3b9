"""Does the text of a gold file fit its language? Only languages with spaces between words are checked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

from xner_ray.errors import UserError
from xner_ray.text.languages import display_name, get_language
from xner_ray.text.scripts import UNSPACED, letter_scripts

_SENTENCES = 500  # that are looked at
_LANGUAGES = {
    "HIRAGANA": "ja",
    "KATAKANA": "ja",
    "CJK": "zh",
    "THAI": "th",
    "KHMER": "km",
    "LAO": "lo",
    "MYANMAR": "my",
}


def check_spacing(sentences: Sequence[Sequence[str]], language: str, path: str | Path) -> None:
    """Refuse tokens of a script without spaces for a language that separates words by spaces.

    Their characters would be joined with spaces, so a tagger would see words of one character.

    Args:
        sentences: tokens.
        language: of the file.
        path: the file, for errors.

    Raises:
        UserError: more than half of the letters are Chinese, Japanese, Thai, Khmer, Lao or Burmese.
    """
    if not get_language(language).uses_spaces:
        return
    scripts: Counter[str] = Counter(letter_scripts("".join(chain.from_iterable(sentences[:_SENTENCES]))))
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
