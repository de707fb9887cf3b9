"""A tagger accepts empty and long texts, raw or as words."""

import pytest

from xner_ray.encoders.load import load_model, save_tokenizer
from xner_ray.errors import UserError
from xner_ray.ner.source_gold import gold_labels
from xner_ray.ner.tagger import Tagger
from xner_ray.text.tags import bio2_to_spans, label_list, spans_to_bio2
from xner_ray.text.words import join_tokens


@pytest.fixture(scope="module")
def tagger(tiny_encoder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tagger")
    load_model(tiny_encoder, label_list(["LOC", "PER"])).save_pretrained(folder)
    save_tokenizer(tiny_encoder, folder)
    return Tagger.load(folder, device="cpu")


def test_entities_are_spans_of_empty_short_and_long_texts(tagger):
    texts = ["", "Anna lebt in Wien.", "wien " * 200]
    for text, entities in zip(texts, tagger.tag(texts, "de"), strict=True):
        for entity in entities:
            assert 0 <= entity.start < entity.end <= len(text)
            assert entity.type in ("LOC", "PER") and 0 <= entity.score <= 1
    assert tagger.stats.windowed_rows == 1


def test_each_word_has_a_valid_tag(tagger):
    tags, scores = tagger.predict_tags([join_tokens(["Anna", "lebt"], "de"), join_tokens(["Wien"], "de")])
    assert [len(row) for row in tags] == [2, 1]
    for row in tags:
        assert spans_to_bio2(bio2_to_spans(row), len(row)) == row
    assert len(scores) == sum(tag.startswith("B-") for row in tags for tag in row)


def test_a_folder_without_a_head_is_an_error(tiny_encoder):
    with pytest.raises(UserError, match="not a trained tagger") as error:
        Tagger.load(tiny_encoder)
    assert error.value.file == tiny_encoder


def test_gold_without_entities_is_an_error():
    with pytest.raises(UserError, match="no entity") as error:
        gold_labels([])
    assert error.value.key == "gold"
