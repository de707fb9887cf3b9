"""A convention's type is held against the teacher before anything is labeled."""

import json
from types import SimpleNamespace

import pytest

from xner_ray.config import RulesConfig
from xner_ray.errors import UserError
from xner_ray.pipeline.stages.label import check_conventions


@pytest.fixture
def teachers(tmp_path):
    configs = {
        "de": {"id2label": {"0": "O", "1": "B-LOC", "2": "I-LOC", "3": "B-MISC", "4": "I-MISC"}},
        "nl": {"id2label": {"0": "LABEL_0", "1": "LABEL_1"}, "xner_labels": ["O", "B-MISC"]},
        "es": {"xner_spacy": {"GPE": "LOC", "NORP": "MISC", "DATE": "O"}},
    }
    for language, config in configs.items():
        (tmp_path / language).mkdir()
        (tmp_path / language / "config.json").write_text(json.dumps(config))
    return {language: str(tmp_path / language) for language in configs}


def check(teachers, **rules):
    check_conventions(SimpleNamespace(rules=RulesConfig(**rules)), "mine.yaml", teachers)


def test_types_of_own_and_adopted_teachers(teachers):
    check(teachers, derived_word_type={"de": "MISC", "nl": "MISC", "es": "LOC"}, lowercase_word_type={"de": "O"})


def test_a_language_that_the_run_leaves_out_is_no_mistake(teachers):
    check({"de": teachers["de"]}, derived_word_type={"de": "MISC", "nl": "MISC"}, lowercase_word_type={"es": "O"})


@pytest.mark.parametrize("language", ["de", "nl", "es"])
def test_an_unknown_type_names_key_and_remedy(teachers, language):
    with pytest.raises(UserError) as e:
        check(teachers, lowercase_word_type={language: "MISK"})
    assert e.value.key == f"rules.lowercase_word_type.{language}" and e.value.file == "mine.yaml"
    assert "MISC" in e.value.remedy and "O," not in e.value.remedy


def test_an_unknown_type_of_a_word(teachers):
    check(
        teachers,
        surface_type_overrides={
            "de": {"EU": "MISC", "Kanzler": "O"},
            "zh": {"我国": "whatever: the run leaves it out"},
        },
    )
    with pytest.raises(UserError) as e:
        check(teachers, surface_type_overrides={"de": {"EU": "ORGANIZATION"}})
    assert e.value.key == "rules.surface_type_overrides.de.EU" and "LOC" in e.value.remedy
