"""Scores on raw text: spans by characters, with the tagger as `xner tag` calls it and with `transformers.pipeline`."""

from __future__ import annotations

import json

import pytest
import torch

from tests.harness.random_tagger import save_random_tagger
from xner_ray.encoders.load import load_model, save_tokenizer
from xner_ray.errors import UserError
from xner_ray.evaluation.tagger_scores import evaluate_model
from xner_ray.evaluation.text_scores import pipeline_scores, span_scores, text_scores
from xner_ray.ner.external_teacher import adopt_model
from xner_ray.ner.tagger import open_tagger
from xner_ray.text.conll import Sentence, write_conll
from xner_ray.text.tags import label_list

SENTENCES = [
    Sentence(["„", "Anna", "“", "aus", "Bad", "Ems", "."], ["O", "B-PER", "O", "O", "B-LOC", "I-LOC", "O"], "de"),
    Sentence(["Ulm", "(", "Bonn", ")"], ["B-LOC", "O", "B-LOC", "O"], "de"),
]


NUMBERED = [f"LABEL_{i}" for i in range(5)]


class Fixed:
    """A tagger of given entities that records what it reads."""

    def __init__(self, entities):
        self.entities = entities

    def tag(self, texts, language):
        self.texts, self.language = list(texts), language
        return [self.entities[text] for text in texts]


def test_spans_are_compared_by_characters_of_natural_text():
    tagger = Fixed(
        {
            "„Anna“ aus Bad Ems.": [(1, 5, "PER", 0.9), (11, 14, "LOC", 0.9)],  # Bad Ems is one word too short
            "Ulm (Bonn)": [(0, 3, "LOC", 0.9), (5, 9, "LOC", 0.9), (5, 9, "PER", 0.1)],
        }
    )
    scores = text_scores(tagger, SENTENCES)
    assert (tagger.texts, tagger.language) == (["„Anna“ aus Bad Ems.", "Ulm (Bonn)"], "de")
    assert scores == {"precision": 60.0, "recall": 75.0, "f1": 66.67, "support": 4}
    assert text_scores(tagger, SENTENCES, ["LOC"])["precision"] == 66.67
    assert text_scores(tagger, [])["f1"] == span_scores([[]], [[]])["f1"] == 0.0


@pytest.fixture(scope="module")
def folder(tiny_encoder, tmp_path_factory):
    return save_random_tagger(tiny_encoder, tmp_path_factory.mktemp("tagger"))


@pytest.fixture(scope="module")
def constant(folder, tmp_path_factory):
    """The folder of a model whose third label, I-LOC, is the most probable one of every token."""
    constant = tmp_path_factory.mktemp("constant")
    model = load_model(folder)
    model.classifier.weight.data.zero_()
    model.classifier.bias.data = torch.tensor([0.0, 0.0, 5.0, 0.0, 0.0])
    model.save_pretrained(constant)
    save_tokenizer(folder, constant)
    return constant


def test_the_scores_are_those_of_tag_and_of_the_pipeline(folder, tmp_path):
    """Gold is what one of them finds, so its F1 is 100, and that of the other is not, because the head is random."""
    from transformers import pipeline

    tagger = open_tagger(folder)
    found = tagger.tag(["Anna in Bonn"])
    tags = tagger.predict_tags([("Anna in Bonn", [(0, 4), (5, 7), (8, 12)])])[0][0]
    gold = [Sentence(["Anna", "in", "Bonn"], tags, "de")]
    assert found and text_scores(tagger, gold)["f1"] == 100
    theirs = pipeline("token-classification", model=str(folder), aggregation_strategy="simple")("Anna in Bonn")
    spans = [(e["start"], e["end"], e["entity_group"]) for e in theirs]
    expected = span_scores([[tuple(e[:3]) for e in found]], [spans])
    assert pipeline_scores(folder, gold) == expected and expected["f1"] < 100

    write_conll(tmp_path / "gold.conll", gold)
    scores = evaluate_model(str(folder), str(tmp_path / "gold.conll"), "de", pipeline=True)
    assert (scores["f1"], scores["text"]["f1"], scores["pipeline"]) == (100, 100, expected)
    assert scores["ece"] == pytest.approx(
        100 - 100 * sum(e.score for row in found for e in row) / sum(map(len, found)), abs=0.1
    )


@pytest.mark.parametrize(
    ("names", "label_map"),
    [
        (NUMBERED, dict(zip(NUMBERED, label_list(["LOC", "PER"]), strict=True))),
        (["O", "B-GPE", "I-GPE", "B-PERSON", "I-PERSON"], {"GPE": "LOC", "PERSON": "PER"}),
    ],
    ids=["numbers", "types"],
)
def test_the_types_of_the_pipeline_are_those_of_the_adopted_model(constant, tmp_path, names, label_map):
    """The model finds one entity, the whole text, whose label is the third one."""
    model = load_model(constant)
    model.config.id2label = dict(enumerate(names))
    model.save_pretrained(tmp_path / "foreign")
    save_tokenizer(constant, tmp_path / "foreign")
    adopted = adopt_model(tmp_path / "foreign", tmp_path / "adopted", label_map, (), ["de"])
    gold = Sentence(["Anna", "in", "Bonn"], ["B-LOC", "I-LOC", "I-LOC"], "de")
    assert pipeline_scores(adopted, [gold])["f1"] == 100


@pytest.mark.parametrize("kind", ["spacy", "onnx"])
def test_models_that_the_pipeline_cannot_open_are_refused_before_they_are_scored(tmp_path, kind):
    folder = tmp_path / "model"
    folder.mkdir()
    labels = {"id2label": {"0": "O", "1": "B-LOC", "2": "I-LOC"}}
    (folder / "config.json").write_text(json.dumps({"xner_spacy": {"GPE": "LOC"}} if kind == "spacy" else labels))
    if kind == "onnx":
        (folder / "model.onnx").touch()
    write_conll(tmp_path / "gold.conll", SENTENCES)
    for model in (f"spacy:{folder}", str(folder)) if kind == "spacy" else (str(folder),):
        with pytest.raises(UserError) as error:
            evaluate_model(model, str(tmp_path / "gold.conll"), "de", pipeline=True)
        assert (error.value.file, error.value.key, error.value.remedy) == (str(folder), "--pipeline", "leave it out")


def test_a_folder_without_weights_has_no_pipeline(tmp_path):
    with pytest.raises(UserError) as error:
        pipeline_scores(tmp_path, SENTENCES)
    assert error.value.remedy
