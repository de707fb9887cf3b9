"""Whether the files of a config exist and its parts fit together, in plan and preflight."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness.corpus_files import good_moses, tsv
from xner_ray.config.load import load_config
from xner_ray.preflight.input_checks import InputReport, check_inputs, describe_languages
from xner_ray.preflight.probes import run_checks
from xner_ray.workflows.plan import plan_run

CONFIG = """\
name: t
out: {out}
data: {data}
languages: [de]
gold:
  - path: "{{data}}/en.conll"
dev:
  - {{path: "{{data}}/dev.conll", name: dev}}
corpora:
  - {{name: news, format: moses, path: "{{data}}/news.zip"}}
evaluation:
  - {{path: "{{data}}/de.conll", language: de, name: german}}
"""
PAIRS = [("The old house has a green roof.", "Das alte Haus hat ein grünes Dach.")] * 40
ENGLISH, GERMAN = "Anna lives in Berlin", "Anna wohnt in Berlin"


def gold(path: Path, text: str, tags: str = "B-PER O O B-LOC", sentences: int = 30) -> None:
    rows = [f"{token}\t{tag}\n" for token, tag in zip(text.split(), tags.split(), strict=True)]
    path.write_text(("".join(rows) + "\n") * sentences, "utf-8")


@pytest.fixture
def folder(tmp_path) -> Path:
    data = tmp_path / "data"
    data.mkdir()
    gold(data / "en.conll", ENGLISH)
    gold(data / "dev.conll", ENGLISH)
    gold(data / "de.conll", GERMAN)
    good_moses(data / "news.zip", PAIRS)
    return data


@pytest.fixture
def check(folder, tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text(CONFIG.format(out=tmp_path / "out", data=folder))

    def _check(*overrides: str) -> InputReport:
        return check_inputs(load_config(file, overrides), file)

    _check.file = file
    return _check


def test_a_config_that_fits(check):
    report = check()
    assert (report.problems, report.warnings, report.files) == ([], [], 4)


@pytest.mark.parametrize(
    ("key", "line"),
    [("gold.0.path", 6), ("dev.0.path", 8), ("evaluation.0.path", 12), ("corpora.0.path", 10)],
)
def test_a_missing_file_is_named_with_key_line_and_absolute_path(check, key, line, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (error,) = check(f"{key}=no/such.file").problems
    assert error.key == key and error.file == tmp_path / "no" / "such.file"
    assert f"{check.file}:{line}" in error.remedy and str(tmp_path) in error.remedy


def test_plan_and_preflight_report_the_same_problems(check, tmp_path):
    config = load_config(check.file, ["dev.0.path=none.conll", "evaluation.0.language=de"])
    plan = plan_run(config, check.file, lambda line: None)
    assert [e.key for e in plan.problems] == ["dev.0.path"]
    assert plan.languages == describe_languages(config) == "en (English) to de (German)"
    failed = [x for x in run_checks(config, check.file) if x.name == "files" and not x.ok]
    assert (
        len(failed) == 1 and "dev.0.path" in failed[0].message and str(Path.cwd() / "none.conll") in failed[0].message
    )
    assert not (tmp_path / "out" / "ingest").exists()


def test_an_unreadable_file_is_named_with_its_key(check, folder):
    (folder / "dev.conll").write_text("a b c\nno tag\n{", "utf-8")
    (error,) = check().problems
    assert error.key == "dev.0.path" and error.file == folder / "dev.conll" and error.line and error.remedy


def test_sets_of_another_language(check, folder):
    (error,) = check("evaluation.0.language=nl").problems
    assert error.key == "evaluation.0.language" and "`nl`" in error.problem and "evaluation=[]" in error.remedy
    assert check("evaluation=[]").problems == []
    more = f"evaluation=[{{path: '{folder}/de.conll', language: de}}, {{path: x, language: de_AT}}]"
    report = check(more)
    assert report.problems == [] and "did you mean `de`" in report.warnings[0]
    (warning,) = check("gold.0.language=fr").warnings
    assert warning.startswith("gold.0: `fr`")
    (warning,) = check("corpora=[{name: a, format: moses, path: '{data}/news.zip'}, "
                       "{name: b, format: moses, path: x, languages: [sv]}]").warnings  # fmt: skip
    assert warning.startswith("corpora.1 (b)")


def test_two_sets_of_one_name(check, folder):
    item = f"{{path: '{folder}/de.conll', language: de, name: same}}"
    (error,) = check(f"evaluation=[{item}, {item}]").problems
    assert error.key == "evaluation" and "`same`" in error.problem and "name" in error.remedy


def test_types_that_differ_in_case(check, folder):
    gold(folder / "de.conll", GERMAN, "B-per O O B-loc")
    (error,) = check().problems
    assert error.key == "evaluation.0.tag_map" and "case" in error.problem
    fixed = error.remedy.partition("=")[2].partition("}")[0] + "}"
    assert check(f"evaluation.0.tag_map={fixed}").problems == []
    gold(folder / "de.conll", GERMAN)
    (error,) = check("teacher.drop_types={de: [loc]}").problems
    assert error.key == "teacher.drop_types.de" and "LOC" in error.remedy
    (error,) = check("evaluation.0.tag_map={per: O}").problems
    assert error.key == "evaluation.0.tag_map" and "PER" in error.remedy


def test_types_that_do_not_meet(check, folder):
    gold(folder / "de.conll", GERMAN, "B-PERSON O O B-GPE")
    (error,) = check().problems
    assert error.key == "evaluation.0.tag_map" and "LOC, PER" in error.problem and "GPE, PERSON" in error.problem
    fixed = error.remedy.partition("=")[2].partition("}")[0] + "}"
    assert check(f"evaluation.0.tag_map={fixed}").problems == []

    gold(folder / "de.conll", GERMAN, "B-PER O O B-ORG")
    lacks, extra = check().warnings
    assert "never predict ORG, so 30 entities" in lacks and "has no LOC" in extra and "types=[ORG, PER]" in extra
    (error,) = check("evaluation.0.types=[PERS]").problems
    assert error.key == "evaluation.0.types" and "ORG, PER" in error.problem
    assert any("rules.lowercase_word_type.de" in x for x in check("rules.lowercase_word_type={de: MISC}").warnings)


def test_the_remedy_for_types_of_other_names_is_not_to_drop_them_all(check, folder):
    gold(folder / "de.conll", GERMAN, "B-DISH O O B-CAR")
    report = check()
    (problem,) = report.problems
    assert problem.key == "evaluation.0.tag_map" and "{CAR: TYPE}" in problem.remedy
    assert not any("evaluation.0" in warning for warning in report.warnings)


def test_small_gold_is_reported(check, folder):
    gold(folder / "en.conll", ENGLISH, sentences=1)
    report = check()
    assert report.problems == [] and [x.split(":")[0] for x in report.warnings] == ["gold", "gold", "gold"]
    assert "1 sentences" in report.warnings[0] and "LOC has 1 entity" in " ".join(report.warnings)
    (folder / "en.conll").write_text("Anna\tO\n\n")
    assert "gold" in {e.key for e in check().problems}


def test_corpora_are_read(check, folder):
    good_moses(folder / "news.zip", [(b, a) for a, b in PAIRS])
    (error,) = check().problems
    assert error.key == "corpora.0.path" and "the sides look swapped" in error.problem
    tsv(folder / "news.tsv", [f"{i}\tonly one" for i in range(30)])
    (error,) = check("corpora.0.format=tsv", "corpora.0.path={data}/news.tsv").problems
    assert error.key == "corpora.0.columns" and error.line == 1


def test_gold_in_a_script_without_spaces(check, folder):
    gold(folder / "de.conll", "安 娜 住 柏林")
    (error,) = check().problems
    assert (
        error.key == "evaluation.0.language" and error.file == folder / "de.conll" and "`language: zh`" in error.remedy
    )
    assert (
        check(
            "languages=[zh_CN]", "evaluation.0.language=zh", "corpora=[{name: a, format: moses, path: s3://x}]"
        ).problems
        == []
    )


def test_the_sample_is_not_checked_before_it_exists(tmp_path):
    config = load_config("configs/tiny.yaml", [f"out={tmp_path}"])
    assert check_inputs(config, "configs/tiny.yaml") == InputReport()


def test_the_files_of_wikipedia_are_opened(check, folder):
    wikipedia = [
        "aligner.example_sources={wikipedia: 1}",
        "aligner.wikipedia_dump={data}/d.xml",
        "aligner.wikipedia_langlinks={data}/l.sql",
    ]
    assert {e.key for e in check(*wikipedia).problems} == {"aligner.wikipedia_dump", "aligner.wikipedia_langlinks"}
    (folder / "d.xml").write_text("<mediawiki><page><title>Rom</title><ns>0</ns><id>1</id></page></mediawiki>")
    (folder / "l.sql").write_text("INSERT INTO `pagelinks` VALUES (1,0,'Rom');")
    (error,) = check(*wikipedia).problems
    assert error.key == "aligner.wikipedia_langlinks" and error.file == str(folder / "l.sql") and error.remedy
    (folder / "l.sql").write_text("INSERT INTO `langlinks` VALUES (1,'en','Rome');")
    assert check(*wikipedia).problems == []
