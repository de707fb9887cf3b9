"""The table of languages: lookups, scripts and names of CLDR."""

import hashlib

import pytest

from xner_ray.text.cldr import cldr_translations, country_names, display_name
from xner_ray.text.languages import LANGUAGES, LATIN, Language, get_language, script_ranges
from xner_ray.text.words import _pattern


def test_unknown_language_gets_the_defaults():
    assert get_language("xx") == Language("xx") and get_language("xx").uses_spaces


def test_each_row_has_its_own_code():
    assert all(code == row.code for code, row in LANGUAGES.items())


def test_languages_without_spaces():
    assert {x for x, row in LANGUAGES.items() if not row.uses_spaces} == {
        "zh",
        "yue",
        "ja",
        "th",
        "lo",
        "km",
        "my",
        "bo",
        "dz",
    }


def test_script_ranges_hold_latin_and_the_letters_of_each_language():
    assert script_ranges(["de", "en"]) == LATIN
    assert set(script_ranges(["el", "de"])) == {*LATIN, (0x370, 0x3FF), (0x1F00, 0x1FFF)}
    assert script_ranges(["de", "xx"]) is None and script_ranges(["yue"]) is None


def test_scripts_are_as_in_copies_of_encoders_that_exist():
    # The ranges are in the fingerprint of trimmed encoders. Languages that were added later have no such copies.
    codes = sorted(set(LANGUAGES) - {"bo", "dz"})
    table = "".join(f"{code} {script_ranges([code])}\n" for code in codes)
    assert hashlib.sha256(table.encode()).hexdigest()[:16] == "38af50ef47a04753"


@pytest.mark.parametrize(
    ("language", "digest"),
    [
        ("en", "2634925d8f11aa89"),
        ("de", "afbefc5060f56264"),
        ("es", "56a4d42ea29ccdf0"),
        ("fr", "f3a3e78cb0ba2311"),
        ("nl", "a0744cb8344c3652"),
        ("it", "23a1295517306d8f"),
        ("ca", "2661c67f3386b7b4"),
        ("zh", "d412eae5e35278d7"),
        ("ru", "42c09a42efcdbc68"),
    ],
)
def test_word_patterns_are_as_in_datasets_that_exist(language, digest):
    assert hashlib.sha256(_pattern(language).pattern.encode()).hexdigest()[:16] == digest


def test_names_of_cldr():
    assert ("Germany", "德国") in cldr_translations("en", "zh")
    assert ("Spanish", "Spaans") in cldr_translations("en", "nl")
    assert ("Deutschland", "Alemania") in cldr_translations("de", "es")
    assert cldr_translations("en", "qq") == [] and country_names("qq") == ()
    assert "法国" in country_names("zh") and "欧盟" not in country_names("zh")


def test_display_name_is_english_or_the_code():
    assert display_name("de") == "German" and display_name("qq") == "qq"
