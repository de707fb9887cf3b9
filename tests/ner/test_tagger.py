"""A tagger accepts empty and long texts, raw or as words."""

import copy
import shutil

import numpy as np
import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.processors import RobertaProcessing

from tests.harness.random_tagger import save_random_tagger
from xner_ray.encoders.engine_stats import EngineStats
from xner_ray.encoders.load import load_model, save_tokenizer
from xner_ray.encoders.model_languages import store_languages
from xner_ray.encoders.tokenizer import Tokenizer
from xner_ray.errors import UserError
from xner_ray.ner.source_gold import gold_labels
from xner_ray.ner.tagger import Tagger, open_tagger
from xner_ray.text.tags import bio2_to_spans, label_list, spans_to_bio2
from xner_ray.text.words import join_tokens, tokenize_words


@pytest.fixture(scope="module")
def tagger(tiny_encoder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tagger")
    load_model(tiny_encoder, label_list(["LOC", "PER"])).save_pretrained(folder)
    save_tokenizer(tiny_encoder, folder)
    return Tagger.load(folder, device="cpu")


@pytest.fixture(scope="module")
def random_tagger(tiny_encoder, tmp_path_factory):
    """A tagger whose random head predicts every label."""
    folder = save_random_tagger(tiny_encoder, tmp_path_factory.mktemp("random"))
    return Tagger.load(folder, precision="fp32", device="cpu")


def with_languages(tagger, languages):
    tagger = copy.copy(tagger)
    tagger.languages = languages
    return tagger


def test_entities_are_spans_of_empty_short_and_long_texts(tagger):
    texts = ["", "Anna lebt in Wien.", "wien " * 200]
    for text, entities in zip(texts, tagger.tag(texts, "de"), strict=True):
        for entity in entities:
            assert 0 <= entity.start < entity.end <= len(text)
            assert entity.type in ("LOC", "PER") and 0 <= entity.score <= 1
    assert tagger.stats.windowed_rows == 1


@pytest.mark.parametrize("is_bio2", [True, False])
def test_no_texts_have_no_entities(tagger, is_bio2):
    """Also for an adopted model, whose labels are projected."""
    projection = np.zeros((7, len(tagger.labels)), np.float32)
    adopted = Tagger(tagger.engine, tagger.tokenizer, tagger.labels, projection, is_bio2=is_bio2)
    for each in (tagger, adopted):
        assert each.tag([], "de") == [] and each.predict_tags([])[0] == []
        assert each.probabilities(each.tokenizer([])).shape == (0, len(tagger.labels))


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
    assert ["a b"[e.start : e.end] for e in tagger.tag(["a b"], "en")[0]] == ["a", "b"]


WORDS = st.text("abzÄßé019", min_size=1, max_size=9) | st.sampled_from(["U.S.", "l'", "Mittel-", "3,000", "don't"])
MARKS = st.sampled_from([*".,;:!?()'\"„“«»–/ ", "...", "\u00a0", "\u200b", "中国北京", "𝄞"])


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.lists(WORDS | MARKS | st.just(" "), max_size=20).map("".join), max_size=3),
    st.sampled_from(["de", "zh"]),
)
def test_raw_text_is_decoded_as_evaluation_decodes_its_words(random_tagger, texts, language):
    """The entities of a text are those of its words, with the offsets of the raw text."""
    words = [tokenize_words(text, language) for text in texts]
    tags, scores = random_tagger.predict_tags(list(zip(texts, words, strict=True)))
    expected = [
        [(spans[a][0], spans[b - 1][1], kind) for a, b, kind in bio2_to_spans(row)]
        for spans, row in zip(words, tags, strict=True)
    ]
    found = random_tagger.tag(texts, language)
    assert [[e[:3] for e in row] for row in found] == expected
    assert [e.score for row in found for e in row] == pytest.approx(scores.tolist())


def test_a_temperature_changes_scores_and_no_entity(random_tagger):
    texts = ["Anna Keller lebt in Wien.", "Ein Satz über Bonn, Ulm und die Vereinten Nationen 1999."]
    found = random_tagger.tag(texts, "de")
    for temperature in (0.05, 5.0):
        tagger = copy.copy(random_tagger)
        tagger.temperature = temperature
        scaled = tagger.tag(texts, "de")
        assert [[e[:3] for e in row] for row in scaled] == [[e[:3] for e in row] for row in found]
        assert [e.score for row in scaled for e in row] != [e.score for row in found for e in row]


def test_the_language_of_texts_is_that_of_the_model(random_tagger):
    with pytest.raises(UserError, match="does not say its language"):
        with_languages(random_tagger, []).tag(["Anna"])
    stored = with_languages(random_tagger, ["zh"])
    assert stored.tag(["北京人"]) == random_tagger.tag(["北京人"], "zh") != random_tagger.tag(["北京人"], "de")
    with pytest.raises(UserError, match="de, zh"):
        with_languages(random_tagger, ["de", "zh"]).tag(["Anna"])


@pytest.mark.parametrize("language", ["de", "zh"])
def test_a_folder_stores_how_its_texts_are_split(random_tagger, tmp_path, language):
    folder = tmp_path / "model"
    shutil.copytree(random_tagger.tokenizer.folder, folder)
    store_languages(folder, [language])
    assert open_tagger(folder, precision="fp32").tag(["Anna 住在北京。"]) == random_tagger.tag(
        ["Anna 住在北京。"], language
    )


def test_a_folder_without_a_head_is_an_error(tiny_encoder):
    with pytest.raises(UserError, match="not a trained tagger") as error:
        Tagger.load(tiny_encoder)
    assert error.value.file == tiny_encoder


def test_gold_without_entities_is_an_error():
    with pytest.raises(UserError, match="no entity") as error:
        gold_labels([])
    assert error.value.key == "gold"
