"""Projection of gold files: reading, scores, and the choice and types of projected spans."""

import pytest

from xner_ray.alignment.candidates import Projection
from xner_ray.errors import UserError
from xner_ray.evaluation.project_files import best_projections, project_gold, read_gold_pair, select_projections


class DictionaryProjector:
    """Finds the translation of each name by a dictionary."""

    def __init__(self, translations):
        self.translations = translations

    def project_entities(self, sources, entities, targets, language):
        result = []
        for source, row, target in zip(sources, entities, targets, strict=True):
            result.append([])
            for i, (a, b, _) in enumerate(row):
                translation = self.translations.get(source[a:b], "\0")
                start = target.find(translation)
                if start >= 0:
                    result[-1].append(Projection(i, start, start + len(translation), 1.0))
        return result


def test_the_best_projection_of_an_entity_and_those_with_its_text_are_selected():
    text = "Rom, Roma, Rom"
    projections = [
        Projection(*p) for p in [(0, 0, 3, 0.5), (0, 5, 9, 0.7), (0, 11, 14, 0.9), (1, 5, 9, 0.2), (2, 8, 12, 0.1)]
    ]
    assert best_projections(text, projections) == [(0, 11, 14, 0.9), (0, 0, 3, 0.5), (1, 5, 9, 0.2), (2, 8, 12, 0.1)]
    assert select_projections(text, projections) == [(0, 11, 14, 0.9), (0, 0, 3, 0.5), (1, 5, 9, 0.2)]


def test_files_are_projected_and_scored(tmp_path):
    source, target, text = tmp_path / "s.conll", tmp_path / "t.conll", tmp_path / "t.txt"
    source.write_text("Ann\tB-PER\nloves\tO\nNew\tB-LOC\nYork\tI-LOC\n\nRome\tB-LOC\n", encoding="utf-8")
    target.write_text("In\tO\nNeu\tB-LOC\nYork\tI-LOC\nlebt\tO\nAnna\tB-PER\n\nRom\tB-LOC\n", encoding="utf-8")
    text.write_text("In Neu York lebt Anna\nRom\n", encoding="utf-8")
    model = DictionaryProjector({"Ann": "Anna", "New York": "Neu York"})
    result = project_gold(model, read_gold_pair(source, target))
    assert (result["precision"], result["recall"], result["correct"]) == (100.0, 66.67, 2)
    assert result["counts"] == {"sentences": 2, "entities": 3, "queries": 3, "mapped": 2}
    assert [s.tags for s in result["sentences"]] == [["O", "B-LOC", "I-LOC", "O", "B-PER"], ["O"]]
    without_gold = project_gold(model, read_gold_pair(source, text, types=["PER"]))
    assert "f1" not in without_gold and without_gold["sentences"][0].tags == ["O", "O", "O", "O", "B-PER"]
    renamed = project_gold(model, read_gold_pair(source, target, tag_map={"LOC": "PLACE"}))
    assert renamed["sentences"][0].tags[1] == "B-PLACE"


def test_files_of_different_length_are_an_error(tmp_path):
    source, target = tmp_path / "s.conll", tmp_path / "t.txt"
    source.write_text("Ann\tB-PER\n\nRome\tB-LOC\n", encoding="utf-8")
    target.write_text("Rom\n", encoding="utf-8")
    with pytest.raises(UserError, match="1 sentences, 2 in") as e:
        read_gold_pair(source, target)
    assert e.value.file == target and e.value.remedy


def test_types_that_the_source_lacks_are_an_error(tmp_path):
    source, target = tmp_path / "s.conll", tmp_path / "t.txt"
    source.write_text("Ann\tB-PER\n", encoding="utf-8")
    target.write_text("Anna\n", encoding="utf-8")
    with pytest.raises(UserError) as e:
        read_gold_pair(source, target, types=["PERSON"])
    assert e.value.key == "--types" and e.value.remedy.endswith("PER")


def test_a_single_lowercase_word_gets_the_type_of_the_option(tmp_path):
    """`auto` is MISC where the source has MISC. The name must be capitalized, and the span must be one word."""
    (tmp_path / "en").write_text("Germany\tB-LOC\nand\tO\nEU\tB-ORG\nBonn\tB-LOC\n\nIrish\tB-MISC\n", "utf-8")
    (tmp_path / "de").write_text("deutsche\tB-MISC\nder\tO\nGemeinschaft\tO\nBonn\tB-LOC\n\nirisch\tB-MISC\n", "utf-8")
    translations = {"Germany": "deutsche", "EU": "der Gemeinschaft", "Bonn": "Bonn", "Irish": "irisch"}
    model = DictionaryProjector(translations)

    def tags(lowercase="auto", types=None):
        pair = read_gold_pair(tmp_path / "en", tmp_path / "de", "de", types=types)
        result = project_gold(model, pair, lowercase)
        return [tag for sentence in result["sentences"] for tag in sentence.tags]

    assert tags() == ["B-MISC", "B-ORG", "I-ORG", "B-LOC", "B-MISC"]
    assert tags(lowercase="keep")[0] == "B-LOC" and tags(lowercase="ADJ")[::4] == ["B-ADJ", "B-ADJ"]
    assert tags(types=["LOC", "ORG"])[0] == "B-LOC"
