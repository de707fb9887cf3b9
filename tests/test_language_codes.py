"""Language codes: one spelling for all that people and files write, and suggestions for what is no code."""

import pytest

from xner_ray.language_codes import (
    UnknownLanguageError,
    default_script,
    known_language,
    normalize_language,
    plain_language,
    select_variant,
)
from xner_ray.text.cldr import display_name
from xner_ray.text.languages import get_language
from xner_ray.text.words import join_tokens, tokenize_words


@pytest.mark.parametrize(
    ("spellings", "code"),
    [
        ("zh zh_CN zh-CN zh_cn zh-Hans zh_Hans_CN zh-SG ZH cmn zho chi", "zh"),
        ("zh_TW zh-TW zh_tw zh-Hant-TW", "zh_TW"),
        ("zh-Hant zh_hant", "zh_Hant"),
        ("zh_HK zh-hk zh-Hant-HK", "zh_HK"),
        ("yue zh-yue zh_yue", "yue"),
        ("pt por", "pt"),
        ("pt_BR pt-br pt_br PT-BR", "pt_BR"),
        ("no nb nob nor nb_NO nb-no no_NO", "no"),
        ("nn nno", "nn"),
        ("he iw heb HE", "he"),
        ("id in ind", "id"),
        ("sr sr-Cyrl srp", "sr"),
        ("sr@latin sr_Latn sr-latn sr_latin sr.UTF-8@latin", "sr_Latn"),
        ("sh hbs", "sh"),
        ("sv swe SV", "sv"),
        ("de deu ger De", "de"),
        ("de_DE de-DE de_DE.UTF-8", "de_DE"),
        ("tl fil tgl", "tl"),
        ("es_419 es-419", "es_419"),
        ("fa pes fas per", "fa"),
        ("et ekk", "et"),
        ("ms zsm", "ms"),
    ],
)
def test_spellings_of_one_language(spellings, code):
    assert {x: normalize_language(x) for x in spellings.split()} == dict.fromkeys(spellings.split(), code)
    assert normalize_language(code) == code


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("[German]", "de"),
        ("German", "de"),
        ("Deutsch", "de"),
        ("swedish", "sv"),
        ("cn", "zh"),
        ("jp", "ja"),
        ("gr", "el"),
        ("cz", "cs"),
        ("dk", "da"),
        ("日本語", "ja"),
        ("Traditional Chinese", "zh_Hant"),
        ("xx", None),
        ("", None),
        ("und", None),
        ("mul", None),
        ("qaa", None),
        ("de_XX", None),
        ("de-DEUTSCH2", "de"),
        ("zh-zzz", None),
        ("../../etc", None),
        ("en-x-private", None),
    ],
)
def test_unknown_codes_are_errors_with_suggestions(text, meant):
    with pytest.raises(UnknownLanguageError) as e:
        normalize_language(text)
    assert f"`{text}`" in str(e.value)
    assert (f"`{meant}`" in e.value.remedy) if meant else ("did you mean" not in e.value.remedy)
    assert known_language(text) is None


@pytest.mark.parametrize(
    ("wanted", "found", "selected"),
    [
        ("pt", ["en", "pt-BR"], ["pt-BR"]),
        ("pt", ["pt-PT", "pt-BR"], ["pt-PT", "pt-BR"]),
        ("pt", ["pt", "pt-BR"], ["pt"]),
        ("pt_BR", ["pt-br", "pt"], ["pt-br"]),
        ("pt_BR", ["pt"], []),
        ("zh", ["zh_tw", "zh_cn"], ["zh_cn"]),
        ("zh", ["zh_TW"], []),
        ("zh_TW", ["zh-Hant", "zh"], ["zh-Hant"]),
        ("zh_TW", ["zh_HK"], []),
        ("zh_Hant", ["zh_HK", "zh"], ["zh_HK"]),
        ("sr", ["sr@latin", "hr"], []),
        ("en", ["en-US", "scores", "ids"], ["en-US"]),
        ("no", ["nb", "nn"], ["nb"]),
    ],
)
def test_variants_are_selected_explicitly(wanted, found, selected):
    assert select_variant(wanted, found) == selected


def test_a_variant_has_the_row_of_its_language():
    for code in ("zh_TW", "zh-Hans", "ZH", "cmn", "zh_CN", "zh_Hant"):
        assert get_language(code) is get_language("zh")
        assert len(tokenize_words("柏林和巴黎", code)) == 5 and join_tokens(["柏", "林"], code)[0] == "柏林"
    assert get_language("pt-br") is get_language("pt") and get_language("en_US") is get_language("en")
    assert plain_language("zh_TW") == "zh" and plain_language("xx") == "xx"


def test_names_and_scripts():
    assert display_name("pt_BR") == "Brazilian Portuguese" and "Traditional" in display_name("zh_TW")
    scripts = {x: default_script(x) for x in ("zh", "zh_TW", "sr", "sr_Latn", "ja", "ru", "de")}
    assert scripts == {
        "zh": "Hans", "zh_TW": "Hant", "sr": "Cyrl", "sr_Latn": "Latn", "ja": "Jpan", "ru": "Cyrl", "de": "Latn",
    }  # fmt: skip
