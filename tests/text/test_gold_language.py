"""Gold of a script without spaces is refused for a language with spaces, and the reverse."""

import pytest

from xner_ray.errors import UserError
from xner_ray.evaluation.projection_scores import read_target
from xner_ray.text.conll import read_conll
from xner_ray.text.scripts import chinese_script, expected_scripts, letter_scripts


@pytest.mark.parametrize(
    ("tokens", "code"),
    [
        ("柏 林 很 大", "zh"),
        ("ベ ル リ ン は 大 き い", "ja"),
        ("เบอร์ลิน ใหญ่", "th"),
        ("ប៊ែរឡាំង ធំ", "km"),
        ("ເບີລິນ ໃຫຍ່", "lo"),
        ("བོད་ ལྗོངས་", "bo"),
    ],
)
def test_scripts_without_spaces_are_refused(tmp_path, tokens, code):
    file = tmp_path / "gold.conll"
    file.write_text("".join(f"{token}\tO\n" for token in tokens.split()) + "\n", "utf-8")
    for language in ("en", "de", "ko", "vi"):
        with pytest.raises(UserError) as e:
            read_conll(file, language)
        assert e.value.file == file and e.value.key == "language" and f"--language {code}" in e.value.remedy
    assert len(read_conll(file, code)) == 1
    (tmp_path / "target.txt").write_text(tokens.replace(" ", "") + "\n", "utf-8")
    with pytest.raises(UserError, match="words between spaces"):
        read_target(tmp_path / "target.txt", "en")


@pytest.mark.parametrize("language", ["zh", "zh_TW", "yue", "ja", "th", "km", "lo", "my", "bo"])
@pytest.mark.parametrize("words", ["Anna Keller wohnt in Berlin", "Анна Келлер живёт в Берлине"])
def test_words_with_spaces_are_refused_for_a_language_without(tmp_path, language, words):
    file = tmp_path / "gold.conll"
    file.write_text("".join(f"{word}\tO\n" for word in words.split()) + "\n", "utf-8")
    with pytest.raises(UserError) as e:
        read_conll(file, language)
    assert e.value.file == file and e.value.key == "language" and "--language de" in e.value.remedy
    (tmp_path / "target.txt").write_text(words + "\n", "utf-8")
    with pytest.raises(UserError, match="no spaces between words"):
        read_target(tmp_path / "target.txt", language)
    assert read_conll(file, "de")


def test_latin_names_in_chinese_text_are_no_other_language(tmp_path):
    file = tmp_path / "gold.conll"
    file.write_text(
        "".join(f"{token}\tO\n" for token in ("Microsoft", "Windows", "和", "iPhone", "的", "手", "机")), "utf-8"
    )
    assert read_conll(file, "zh")


def test_names_in_chinese_characters_are_no_chinese_text(tmp_path):
    file = tmp_path / "gold.conll"
    file.write_text("The\tO\nname\tO\n北京\tB-LOC\nmeans\tO\nnorthern\tO\ncapital\tO\n\n", "utf-8")
    assert read_conll(file, "en")[0].tokens[2] == "北京"
    for language in ("zh_CN", "zh_TW", "cmn"):
        assert read_conll(file, language)


def test_scripts():
    assert letter_scripts("Ａ1 é Ж 中の한") == {"LATIN": 2, "CYRILLIC": 1, "CJK": 1, "HIRAGANA": 1, "HANGUL": 1}
    assert expected_scripts("sr") == {"CYRILLIC", "LATIN"} and expected_scripts("sr_Latn") == {"LATIN"}
    assert expected_scripts("zh_TW") == {"CJK"} and expected_scripts("xx") is None
    assert [chinese_script(x) for x in ("国家会议", "國家會議", "中文", "German")] == ["Hans", "Hant", None, None]
