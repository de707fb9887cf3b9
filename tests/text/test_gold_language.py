"""Gold of a script without spaces is refused for a language with spaces."""

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
