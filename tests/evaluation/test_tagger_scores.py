"""Gold whose types the tagger does not have is an error or a warning, with the map that fits."""

import numpy as np
import pytest

from xner_ray.errors import UserError
from xner_ray.evaluation.tagger_scores import check_types, evaluate_model, evaluate_tagger, fitting_map
from xner_ray.text.conll import Sentence, read_conll
from xner_ray.text.tags import parse_map

TYPES = ["LOC", "MISC", "ORG", "PER"]


class Echo:
    """A tagger that predicts given tags."""

    def __init__(self, tags):
        self.tags = tags

    def predict_tags(self, texts):
        self.texts = texts
        return self.tags, np.ones(sum(tag.startswith("B-") for row in self.tags for tag in row), np.float32)


def gold(*tags):
    return [Sentence([str(i) for i in range(len(tags))], list(tags))]


def test_gold_without_a_type_of_the_model_is_an_error_whose_map_fits(tmp_path):
    path = tmp_path / "gold.conll"
    path.write_text("Anna\tB-PERSON\nWien\tB-GPE\nMontag\tB-DATE\n")
    with pytest.raises(UserError, match="gold has DATE, GPE, PERSON; the model has LOC, MISC, ORG, PER") as error:
        check_types(TYPES, read_conll(path), str(path))
    assert "--map DATE=O,GPE=LOC,PERSON=PER" in error.value.remedy and error.value.key == "--map"
    tag_map = parse_map(error.value.remedy.split()[-1])
    mapped = read_conll(path, tag_map=tag_map)
    check_types(TYPES, mapped, str(path))
    assert evaluate_tagger(Echo([["B-PER", "B-LOC", "O"]]), mapped)["f1"] == 100.0


def test_some_types_that_the_model_lacks_are_a_warning(caplog):
    check_types(TYPES, gold("B-PER", "I-PER", "B-DATE", "O"), "gold.conll")
    assert "DATE, so 1 gold entities are missed" in caplog.text and "--map DATE=O" in caplog.text
    caplog.clear()
    check_types(TYPES, gold("B-PER", "O"), "gold.conll")
    assert not caplog.records


def test_the_remedy_works_with_the_given_map_and_types(tmp_path):
    path = tmp_path / "gold.conll"
    path.write_text("Anna\tB-HUM\nWien\tB-GPE\nMontag\tB-DATE\n")
    tag_map, types = {"HUM": "PERSON"}, ["PERSON", "GPE"]
    with pytest.raises(UserError, match="no gold type") as error:
        check_types(TYPES, read_conll(path, tag_map=tag_map), str(path), tag_map, types)
    words = error.value.remedy.split()
    new_map, new_types = parse_map(words[words.index("--map") + 1]), words[words.index("--types") + 1].split(",")
    check_types(TYPES, read_conll(path, tag_map=new_map), str(path), new_map, new_types)
    assert read_conll(path, tag_map=new_map, types=new_types)[0].tags == ["B-PER", "B-LOC", "O"]


@pytest.mark.parametrize(
    ("tags", "types", "key"), [("B-PER", ["LOC"], "--types"), ("O", None, "--types"), ("B-DISH", None, "--map")]
)
def test_gold_without_an_entity_to_score_is_an_error(tags, types, key):
    with pytest.raises(UserError, match="the model has LOC, MISC, ORG, PER") as error:
        check_types(TYPES, gold(tags), "gold.conll", {}, types)
    assert error.value.key == key and error.value.remedy and "DISH=O" not in error.value.remedy


def test_a_type_fits_by_case_alias_and_kind():
    found = fitting_map(["per", "Organisation", "GPE.NAM", "dish"], [*TYPES, "DISH"])
    assert found == {"per": "PER", "Organisation": "ORG", "GPE.NAM": "LOC", "dish": "DISH"}


def test_a_public_model_whose_o_is_the_last_label_is_scored_by_its_labels(tiny_encoder, tmp_path):
    """The head copies the word's embedding, so a trained model is not needed: all scores equal those of sorted labels."""
    import torch

    from xner_ray.encoders.load import load_model, save_tokenizer

    labels = ["O", "B-LOC", "I-LOC", "B-PER", "I-PER"]
    order = [3, 1, 4, 2, 0]
    torch.manual_seed(1)
    model = load_model(tiny_encoder, labels)
    torch.nn.init.normal_(model.classifier.weight, std=2.0)
    weight, bias = model.classifier.weight.data.clone(), model.classifier.bias.data.clone()
    path = tmp_path / "gold.conll"
    path.write_text("Anna\tB-PER\nKeller\tI-PER\nmag\tO\nWien\tB-LOC\n\nBerlin\tB-LOC\nruft\tO\n")
    scores = []
    for name, ids in (("sorted", range(5)), ("other", order)):
        model.classifier.weight.data, model.classifier.bias.data = weight[list(ids)], bias[list(ids)]
        model.config.id2label = {i: labels[j].lower() if name == "other" else labels[j] for i, j in enumerate(ids)}
        model.save_pretrained(tmp_path / name)
        save_tokenizer(tiny_encoder, tmp_path / name)
        tag_map = {"PER": "per", "LOC": "loc"} if name == "other" else {}
        scores.append(evaluate_model(str(tmp_path / name), str(path), "en", tag_map))
    assert scores[0]["f1"] == scores[1]["f1"] and scores[0]["calibration"] == scores[1]["calibration"]
    assert scores[0]["support"] == 3


def test_gold_words_are_read_in_natural_text():
    """A comma after a space is rare in text, and taggers that read one lose points."""
    words = ["Anna", ",", "aus", "„", "Ulm", "“", "."]
    tagger = Echo([["B-PER", "O", "O", "O", "B-LOC", "O", "O"]])
    assert evaluate_tagger(tagger, [Sentence(words, tagger.tags[0], "de")])["f1"] == 100
    text, spans = tagger.texts[0]
    assert text == "Anna, aus „Ulm“."
    assert [text[start:end] for start, end in spans] == words
