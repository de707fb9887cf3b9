"""Configs: what is wrong is named with file, line, key and remedy."""

import pickle

import pytest

from xner_ray.config.load import key_line, load_config
from xner_ray.errors import UserError

GOOD = """\
name: t
out: out/t
data: /d
languages: [de, zh]
gold:
  - path: "{data}/en.conll"
corpora:
  - name: news
    format: tsv
    path: "{data}/{pair}/{language}.tsv"
    languages: [de, zh]
  - name: talk
    format: moses
    path: talk.zip
teacher:
  training:
    epochs: 2
"""


@pytest.fixture
def write(tmp_path):
    def _write(text):
        path = tmp_path / "c.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return _write


def failure(path, *overrides) -> UserError:
    with pytest.raises(UserError) as error:
        load_config(path, overrides)
    return error.value


def test_a_good_one(write):
    config = load_config(
        write(GOOD), ["student.seeds=[1,2]", "corpora.0.min_score=0.5", "student.source_training.epochs=1"]
    )
    assert config.student.seeds == [1, 2]
    assert config.corpora[0].min_score == 0.5
    assert config.student.source_training.epochs == 1
    assert config.teacher.training.epochs == 2
    assert config.fill(config.corpora[0].path, "zh") == "/d/en-zh/zh.tsv"
    assert config.fill(config.corpora[0].path, "de") == "/d/de-en/de.tsv"


def test_data_is_the_sample_where_there_is_one(write):
    config = load_config(write(GOOD.replace("data: /d\n", "sample: {}\n")))
    assert config.data_dir == "out/t/sample"


@pytest.mark.parametrize(
    ("old", "new", "line", "key", "words"),
    [
        ("epochs: 2", "epoch: 2", 17, "teacher.training.epoch", ["unknown key", "did you mean `epochs`"]),
        ("data: /d", "datta: /d", 3, "datta", ["unknown key", "did you mean `data`"]),
        ("name: news", "name: news\n    skore: 1", 9, "corpora.0.skore", ["unknown key", "min_score"]),
        ("epochs: 2", "xyzzy: 2", 17, "teacher.training.xyzzy", ["unknown key", "known here", "gamma"]),
        ("epochs: 2", "epochs: two", 17, "teacher.training.epochs", ["integer", "'two'"]),
        ("epochs: 2", "epochs: 0", 17, "teacher.training.epochs", ["greater than or equal to 1", "(got 0)"]),
        ("languages: [de, zh]\ngold", "languages: de\ngold", 4, "languages", ["list"]),
        ("format: tsv", "format: csv", 9, "corpora.0.format", ["'tsv'", "'csv'"]),
        ("format: tsv", "format: lines", 8, "corpora.0", ["target_path"]),
        ("name: talk", "name: news", None, None, ["same `name`"]),
        ("name: t\n", "", None, "name", ["missing", "add it"]),
        ("languages: [de, zh]\ngold", "languages: []\ngold", 4, "languages", ["at least 1"]),
    ],
)
def test_mistakes_are_located(write, old, new, line, key, words):
    text = GOOD.replace(old, new, 1)
    assert text != GOOD
    path = write(text)
    error = failure(path)
    assert (error.file, error.line, error.key) == (path, line, key)
    assert error.remedy
    for word in words:
        assert word in str(error)


def test_the_language_without_a_corpus(write):
    error = failure(
        write(GOOD.replace("  - name: talk\n    format: moses\n    path: talk.zip\n", "")), "languages=[de,nl]"
    )
    assert "`nl`" in error.problem


def test_a_key_that_no_example_source_reads(write):
    for key, value in {"noun_phrase_ratio": 0.1, "translator": "x", "lexicon": "x"}.items():
        sources = ["aligner.example_sources={pairs: 1.0}", "aligner.examples_file=x"]
        error = failure(write(GOOD), *sources, f"aligner.{key}={value}")
        assert error.key == "aligner" and f"`{key}` has no effect" in error.problem
    sources = ["aligner.example_sources={translator: 1.0}", "aligner.translator=x"]
    load_config(write(GOOD), [*sources, "aligner.noun_phrase_ratio=0.1"])


def test_an_origin_that_lacks_its_file(write):
    error = failure(write(GOOD), "aligner.example_sources={pairs: 1.0}")
    assert "`pairs` needs the key `examples_file`" in error.problem
    assert error.key == "aligner"


def test_no_minimum_for_an_aligner_that_is_left_out(write):
    error = failure(write(GOOD), "aligner.similarity_weight=1", "aligner.min_f1=50")
    assert error.key == "aligner" and "`min_f1`" in error.problem and "`similarity_weight: 1`" in error.problem
    for overrides in (["aligner.min_f1=0"], []):  # both remedies
        load_config(write(GOOD), ["aligner.similarity_weight=1", *overrides])
    load_config(write(GOOD), ["aligner.similarity_weight=0.9", "aligner.min_f1=50"])


def test_either_type_of_a_union(write):
    assert load_config(write(GOOD), ["student.encoder=[a,b]"]).student.encoder == ["a", "b"]
    assert failure(write(GOOD), "student.encoder={a: 1}").key == "student.encoder"


def test_corpora_of_the_dataset(write):
    def dataset(override):
        return load_config(write(GOOD), [override]).dataset

    by_language = dataset("dataset.corpora={de: [news]}")
    assert (by_language.for_language("de").corpora, by_language.for_language("zh").corpora) == (["news"], None)
    alike = dataset("dataset.corpora=[talk]")
    assert alike.for_language("de").corpora == alike.for_language("zh").corpora == ["talk"]
    for wrong in ("dataset.corpora=[news, tolk]", "dataset.corpora={de: [tolk]}"):
        assert "no corpus is named `tolk`" in failure(write(GOOD), wrong).problem


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("student", ["key=value"]),
        ("=3", ["key=value"]),
        ("student.seeds=[1", ["not YAML"]),
        ("name.first=x", ["holds a value"]),
        ("corpora.7.name=x", ["no index", "list of 2"]),
        ("corpora.x.name=x", ["no index"]),
        ("corpora.9=x", ["no index"]),
        ("corpora.0.name.x=1", ["holds a value"]),
        ("corpora.0.path.deep.er=1", ["holds a value"]),
        ("languages.0.x=1", ["holds a value"]),
        ("studnet.seeds=[1]", ["unknown key", "did you mean `student`"]),
    ],
)
def test_overrides_that_fail(write, override, words):
    error = failure(write(GOOD), override)
    for word in words:
        assert word in str(error)
    assert error.remedy


def test_no_data_folder(write):
    path = write(GOOD.replace("data: /d\n", ""))
    error = failure(path)
    assert (error.file, error.key) == (path, "data")
    assert "data=DIR" in error.remedy
    assert load_config(path, ["data=/else"]).data == "/else"


def test_files_that_are_no_config(tmp_path, write):
    assert failure(tmp_path / "none.yaml").file == tmp_path / "none.yaml"
    assert failure(write("a: [1\nb: 2\n")).line == 2
    assert "mapping" in failure(write("- 1\n")).problem
    assert "mapping" in failure(write("")).problem
    bad = tmp_path / "b.yaml"
    bad.write_bytes(b"name: \xff\n")
    assert "UTF-8" in failure(bad).remedy
    assert failure(tmp_path).file == tmp_path  # a folder


def test_a_key_given_twice(write):
    error = failure(write(GOOD + "name: again\n"))
    assert error.line == 18
    assert "twice" in error.problem


def test_errors_survive_pickling():
    error = pickle.loads(pickle.dumps(UserError("p", file="f", line=3, key="k", remedy="r")))
    assert str(error) == "f:3, key 'k': p\n  remedy: r"


def test_language_codes_are_normalized_everywhere(write):
    overrides = [
        "languages=[DE, zh_CN, no]",
        "evaluation=[{path: x, language: cmn}, {path: y, language: nb}]",
        "teacher.drop_types={zh-Hans: [MISC]}",
        "dataset.corpora={ZH: [news]}",
        "dataset.quotes_inside_entity=[deu]",
        "corpora.0.languages=[ger, zh-CN, nb_NO]",
    ]
    config = load_config(write(GOOD), overrides)
    assert config.languages == config.corpora[0].languages == ["de", "zh", "no"]  # `no` is false in YAML
    assert [gold.language for gold in config.evaluation] == ["zh", "no"]
    assert config.teacher.drop_types == {"zh": ["MISC"]} and config.dataset.quotes_inside_entity == ["de"]
    assert config.dataset.for_language("zh").corpora == ["news"]
    # Paths keep the spelling of the file.
    assert config.fill("{pair}/{language}", "zh") == "en-zh_CN/zh_CN" and config.fill("{pair}", "de") == "DE-en"


@pytest.mark.parametrize(
    ("override", "key", "line", "meant"),
    [
        ("languages=[de, German]", "languages.1", 4, "`de`"),
        ("languages=[de, zh, xx]", "languages.2", 4, "ISO 639"),
        ("source_language=gr", "source_language", None, "`el`"),
        ("gold.0.language=cz", "gold.0.language", 6, "`cs`"),
        ("corpora.0.languages=[de, cn]", "corpora.0.languages.1", 11, "`zh`"),
        ("teacher.drop_types={jp: [MISC]}", "teacher.drop_types.jp", 15, "`ja`"),
        ("dataset.corpora={cn: [news]}", "dataset.corpora", None, "`zh`"),
    ],
)
def test_unknown_languages_are_located(write, override, key, line, meant):
    error = failure(write(GOOD), override)
    assert (error.key, error.line) == (key, line) and meant in error.remedy


def test_a_language_twice_or_as_its_own_source(write):
    assert failure(write(GOOD), "languages=[zh, zh_CN]").key == "languages"
    assert "source language" in failure(write(GOOD), "source_language=de").problem
    assert load_config(write(GOOD), ["languages=[zh, zh_TW]", "corpora.0.languages=null"]).languages[1] == "zh_TW"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("student.seeds", "[1, 2, 1]"),
        ("student.encoder", "[tiny, tiny]"),
        ("study.ablation.seeds", "[3, 3]"),
        ("study.ablation.languages", "[zh, zh_CN]"),
        ("study.size.sizes", "[10, 10]"),
        ("study.loss.gammas", "[1, 1.0]"),
        ("study.loss.frozen", "[0, 0]"),
    ],
)
def test_no_training_is_given_twice(write, key, value):
    error = failure(write(GOOD), f"{key}={value}")
    assert error.key == key and "given twice" in error.problem


def test_a_student_needs_an_encoder(write):
    assert failure(write(GOOD), "student.encoder=[]").key == "student.encoder"


def test_overrides_accept_names_and_placeholders(write):
    config = load_config(write(GOOD), ["corpora.news.path={data}/x.tsv", "corpora.1.path={pair}.zip", "data=/e"])
    assert [config.fill(x.path, "de") for x in config.corpora] == ["/e/x.tsv", "de-en.zip"]
    assert [x.key for x in config.corpora] == ["corpora.0", "corpora.1"] and config.gold[0].key == "gold.0"
    assert "news, talk" in failure(write(GOOD), "corpora.nws.path=x").remedy


def test_line_of_a_key(write):
    path = write(GOOD)
    assert [key_line(path, x) for x in ("gold.0.path", "corpora.1.path", "dev.0.path")] == [6, 14, None]
    assert key_line(path.with_name("none.yaml"), "gold") is None


def test_a_removed_key_names_the_one_that_replaces_it(write):
    error = failure(write(GOOD), "aligner.similarity_fallback_score=0")
    assert error.key == "aligner.similarity_fallback_score" and "similarity_weight" in error.remedy


@pytest.mark.parametrize(
    ("overrides", "word"),
    [
        (["student.training={tokens_per_step: 256, sequences_per_step: 8}"], "sequences_per_step"),
        (["dataset={corpora: [news], balanced_domains: {a: [news], b: [talk]}}"], "dataset.corpora"),
    ],
)
def test_keys_that_exclude_each_other_are_errors(write, overrides, word):
    assert word in str(failure(write(GOOD), *overrides))
