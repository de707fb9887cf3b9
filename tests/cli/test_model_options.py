"""Commands find the student of a run, and read the language and tokenization that a model's folder stores."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from xner_ray.cli.main import app
from xner_ray.cli.text_command import split_arguments
from xner_ray.encoders.model_languages import LANGUAGES, card_languages, store_languages, stored_languages
from xner_ray.errors import UserError
from xner_ray.results.run_results import find_student
from xner_ray.storage.atomic import replace_symlink


@pytest.fixture
def xner():
    def run(*args: object, stdin: str | bytes | None = None):
        result = CliRunner().invoke(app, [str(a) for a in args], input=stdin, env={"COLUMNS": "200"})
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


@pytest.fixture
def tagger(tiny_encoder, tmp_path):
    """Make a tagger with a random head."""
    from xner_ray.encoders.load import load_model, load_tokenizer

    def make(languages: list[str], labels: tuple[str, ...] = ("O", "B-LOC", "I-LOC", "B-PER", "I-PER")) -> Path:
        folder = tmp_path / "-".join(["model", *languages, labels[1]])
        load_model(tiny_encoder, list(labels)).save_pretrained(folder)
        load_tokenizer(tiny_encoder).save_pretrained(folder)
        store_languages(folder, languages)
        return folder

    return make


PUBLIC = ("B-LOC", "I-LOC", "O", "B-PER", "I-PER")  # O is not the first label: a model from elsewhere


def test_a_folder_stores_languages_and_tokenization(tagger):
    folder = tagger(["de", "zh"])
    assert json.loads((folder / "config.json").read_text())[LANGUAGES] == {"de": "spaces", "zh": "characters"}
    assert stored_languages(folder) == ["de", "zh"]
    from transformers import AutoConfig, AutoModelForTokenClassification

    AutoModelForTokenClassification.from_pretrained(folder).save_pretrained(folder)
    assert stored_languages(folder) == ["de", "zh"], "the entry survives save_pretrained"
    assert AutoConfig.from_pretrained(folder).id2label[1] == "B-LOC"
    store_languages(folder, [])
    assert stored_languages(folder) == []


def test_a_model_with_other_words_is_an_error(tagger):
    folder = tagger(["zh"])
    file = folder / "config.json"
    file.write_text(file.read_text().replace('"characters"', '"spaces"'))
    with pytest.raises(UserError) as e:
        stored_languages(folder)
    assert e.value.file == file and e.value.key == LANGUAGES and "zh" in e.value.problem


def gold(tmp_path) -> Path:
    file = tmp_path / "gold.conll"
    file.write_text("北\tB-LOC\n京\tI-LOC\n很\tO\n大\tO\n\n", encoding="utf-8")
    return file


def test_evaluate_reads_the_language_of_the_model(xner, tagger, tmp_path):
    result = xner("evaluate", "--model", tagger(["zh"]), "--data", gold(tmp_path))
    assert result.exit_code == 0 and "gold.conll (zh)" in result.stdout
    result = xner("evaluate", "--model", tagger(["zh"]), "--data", gold(tmp_path), "--language", "yue")
    assert "gold.conll (yue)" in result.stdout and "trained for zh" in result.stderr


@pytest.mark.parametrize(
    ("languages", "problem"), [([], "of the letters are Chinese"), (["de", "zh"], "several languages: de, zh")]
)
def test_evaluate_needs_a_language_otherwise(xner, tagger, tmp_path, languages, problem):
    folder = tagger(languages)
    result = xner("evaluate", "--model", folder, "--data", gold(tmp_path))
    assert result.exit_code == 2 and problem in result.stderr and "--language" in result.stderr
    assert xner("evaluate", "--model", folder, "--data", gold(tmp_path), "--language", "zh").exit_code == 0


def test_the_card_of_a_model_from_elsewhere_names_its_language(xner, tagger, tmp_path):
    folder = tagger([], PUBLIC)
    result = xner("tag", "--model", folder, "北京很大。")
    assert result.exit_code == 2 and "letters are Chinese" in result.stderr and "--language zh" in result.stderr
    result = xner("tag", "--model", folder, "Anna in Wien")
    assert result.exit_code == 0 and "language: en" in result.stderr
    (folder / "README.md").write_text("---\nlanguage: zh\ntags: [ner]\n---\n# Model\n")
    result = xner("tag", "--model", folder, "--json", "北京很大。")
    assert result.exit_code == 0 and "language: zh" in result.stderr
    chinese = xner("tag", "--model", folder, "--json", "--language", "zh", "北京很大。").stdout
    assert result.stdout == chinese
    (folder / "README.md").write_text("---\nlanguage:\n- zh\n- en\n---\n")
    result = xner("tag", "--model", folder, "北京很大。")
    assert result.exit_code == 2 and "several languages: zh, en" in result.stderr


@pytest.mark.parametrize(
    ("card", "languages"),
    [
        ("---\nlanguage: no\n---\n", ["no"]),
        ("---\nlanguage: [multilingual, zh-CN, de, deu]\n---\n", ["zh", "de"]),
        ("---\nlanguage: {a: b\n---\n", []),
        ("no metadata", []),
        ("---\nlicense: mit\n---\n", []),
    ],
)
def test_cards_of_the_hub(tmp_path, card, languages):
    (tmp_path / "README.md").write_text(card)
    assert card_languages(tmp_path) == languages


def test_models_of_several_languages_need_the_option(xner, tagger):
    folder = tagger(["de", "zh"])
    result = xner("tag", "--model", folder, "Anna")
    assert result.exit_code == 2 and "several languages: de, zh" in result.stderr
    assert xner("tag", "--model", folder, "--language", "zh", "Anna").exit_code == 0


def test_tag_and_evaluate_find_the_student_of_a_run(xner, tagger, tmp_path):
    out = tmp_path / "out"
    for language, languages in (("de", ["de"]), ("zh", ["zh"])):
        (out / "student" / language).mkdir(parents=True)
        tagger(languages).rename(out / "student" / language / "abc")
        replace_symlink(out / "student" / language / "current", "abc")
    assert find_student(out, "de") == (out / "student/de/abc").resolve()
    assert xner("tag", "--out", out, "--language", "de", "Anna").exit_code == 0
    assert "(zh)" in xner("evaluate", "--out", out, "--language", "zh_CN", "--data", gold(tmp_path)).stdout
    result = xner("tag", "--out", out, "Anna")
    assert result.exit_code == 2 and "several languages: de, zh" in result.stderr
    result = xner("tag", "--out", out, "--language", "fr", "Anna")
    assert result.exit_code == 2 and "no student of fr" in result.stderr and "de, zh" in result.stderr
    (out / "student/zh/current").unlink()
    assert xner("tag", "--out", out, "Anna").exit_code == 0


def test_project_reads_opus_files_and_the_languages_of_the_aligner(xner, tagger, tmp_path):
    from xner_ray.alignment.decoding import Decoding
    from xner_ray.alignment.projector_file import save_projector

    folder = tagger([], ("OUTSIDE", "INSIDE"))
    source = tmp_path / "x.fr.conll"
    source.write_text("Anna\tB-PER\nest\tO\nici\tO\n\nOui\tO\n\n")
    target = tmp_path / "x.de"
    target.write_text("Anna ist hier .\n\n")
    call = ("project", "--model", folder, "--source", source, "--target")
    save_projector(folder, Decoding(), source_language="fr", languages=["de", "zh"])
    result = xner(*call, target, "--out", tmp_path / "out.conll")
    assert result.exit_code == 0 and "in 2 sentences" in result.stderr
    assert [
        line.split("\t")[0] for line in (tmp_path / "out.conll").read_text().splitlines()[:4]
    ] == target.read_text().split()
    other = target.rename(tmp_path / "x.txt")
    result = xner(*call, other)
    assert result.exit_code == 2 and "several languages: de, zh" in result.stderr
    assert xner(*call, other, "--language", "de").exit_code == 0
    save_projector(folder, Decoding(), languages=["de"])
    assert xner(*call, other).exit_code == 0
    save_projector(folder, Decoding())
    result = xner(*call, other)
    assert result.exit_code == 2 and "does not say its languages" in result.stderr


def test_a_model_is_named_once(xner, tagger, tmp_path):
    for args, problem in (
        (("Anna",), "no model is given"),
        (("--model", "x", "--out", "y", "Anna"), "both --model and --out"),
        (("--out", tmp_path / "none", "Anna"), "no such folder"),
        (("--out", tmp_path, "Anna"), "holds no student"),
    ):
        result = xner("tag", *args)
        assert result.exit_code == 2 and problem in result.stderr and "remedy" in result.stderr


DASHES = ["- Anna wohnt in Wien.", "-Ja, in Wien.", "--- Wien ---", "- -"]


def test_texts_may_begin_with_a_dash(xner, tagger):
    folder = tagger(["de"])
    result = xner("tag", "--json", DASHES[0], "--model", folder, *DASHES[1:], "Wien", "-")
    assert [json.loads(line)["text"] for line in result.stdout.splitlines()] == [*DASHES, "Wien", "-"]
    result = xner("tag", "--model", folder, "--", "-Wien")
    assert result.exit_code == 0 and len(result.stdout.splitlines()) == 1
    result = xner("tag", "--model", folder, "-Wien")
    assert result.exit_code == 2 and "-Wien" in result.stderr and "write --" in result.stderr
    result = xner("tag", "--modle", folder, "Wien")
    assert result.exit_code == 2 and "did you mean --model" in result.stderr


def test_arguments_are_split_as_click_reads_them():
    known = {"--model": True, "--json": False, "-h": False}
    assert split_arguments(["a", "--model", "- b", "--json", "- c"], known) == (
        ["--model", "- b", "--json"],
        ["a", "- c"],
    )
    assert split_arguments(["--model=a b", "-", "--", "--json"], known) == (["--model=a b"], ["-", "--json"])
    assert split_arguments(["a", "--model"], known) == (["--model"], ["a"])


def test_lines_that_are_not_utf8_have_no_entities_and_the_others_are_tagged(xner, tagger, tmp_path):
    folder = tagger(["de"])
    data = b"Anna in Wien\nM\xfcnchen\nK\xf6ln\nBerlin\n"
    file = tmp_path / "x.txt"
    file.write_bytes(data)
    for result, name in (
        (xner("tag", "--model", folder, "--json", stdin=data), "stdin"),
        (xner("tag", "--model", folder, "--json", "--file", file), str(file)),
    ):
        assert result.exit_code == 2 and f"{name}:2: is not UTF-8: byte 0xfc; 2 lines of 4" in result.stderr
        rows = [json.loads(line) for line in result.stdout.splitlines()]
        assert [row["text"] for row in rows] == ["Anna in Wien", "M\ufffdnchen", "K\ufffdln", "Berlin"]
        assert ["fault" in row for row in rows] == [False, True, True, False]
        assert rows[1]["entities"] == []
    result = xner("tag", "--model", folder, stdin="Anna\n".encode("utf-16"))
    assert result.exit_code == 2 and "iconv -f UTF-16" in result.stderr


def test_an_argument_that_is_not_utf8_is_an_error(xner, tagger):
    result = xner("tag", "--json", "--model", tagger(["de"]), "M\udcfcnchen", "Wien")
    assert (
        result.exit_code == 2 and "TEXT:1: is not UTF-8" in result.stderr and "Wien" in result.stdout.splitlines()[1]
    )
