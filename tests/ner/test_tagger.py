"""A tagger accepts empty and long texts, raw or as words."""

import numpy as np
import pytest
import tokenizers
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.processors import RobertaProcessing

from xner_ray.encoders.engine_stats import EngineStats
from xner_ray.encoders.load import load_model, save_tokenizer
from xner_ray.encoders.tokenizer import Tokenizer
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


@pytest.mark.parametrize("trim_offsets", [True, False])
def test_a_token_of_white_space_alone_is_no_entity(tmp_path, trim_offsets):
    """Byte-level BPE has a token for the byte of a space."""
    vocabulary = {token: i for i, token in enumerate(["<s>", "</s>", *sorted(ByteLevel.alphabet())])}
    backend = tokenizers.Tokenizer(tokenizers.models.BPE(vocabulary, []))
    backend.pre_tokenizer = ByteLevel(add_prefix_space=False)
    backend.post_processor = RobertaProcessing(("</s>", 1), ("<s>", 0), trim_offsets=trim_offsets)
    backend.save(str(tmp_path / "tokenizer.json"))

    class AllEntities:
        """An engine whose tokens are all B-LOC."""

        stats, max_length = EngineStats(), 128

        def probabilities(self, ids, segment_ids=None):
            return np.eye(3, dtype=np.float32)[[1] * len(ids.values)]

    tokenizer = Tokenizer(str(tmp_path), without_transformers=True)
    tagger = Tagger(AllEntities(), tokenizer, label_list(["LOC"]))
    assert tagger.tag([" ", "", "\t "], "en") == [[], [], []]
    assert "".join("a b"[e.start : e.end] for e in tagger.tag(["a b"], "en")[0]).split() in (["ab"], ["a", "b"])


def test_a_folder_without_a_head_is_an_error(tiny_encoder):
    with pytest.raises(UserError, match="not a trained tagger") as error:
        Tagger.load(tiny_encoder)
    assert error.value.file == tiny_encoder


def test_gold_without_entities_is_an_error():
    with pytest.raises(UserError, match="no entity") as error:
        gold_labels([])
    assert error.value.key == "gold"
