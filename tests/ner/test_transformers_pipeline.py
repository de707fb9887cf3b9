"""`transformers.pipeline` on a saved folder finds what our tagger finds."""

import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xner_ray.encoder.load import load_model, save_tokenizer
from xner_ray.encoder.tokenise import Tokeniser
from xner_ray.ner.tagger import Tagger
from xner_ray.tags import label_list, spans_of
from xner_ray.words import join


@pytest.fixture(scope="module")
def folder(tiny_encoder, tmp_path_factory):
    """A tagger whose random head is loud enough to find entities."""
    import torch

    folder = tmp_path_factory.mktemp("tagger")
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = load_model(tiny_encoder, label_list(["LOC", "PER"]))
        torch.nn.init.normal_(model.classifier.weight, std=2.0)
    model.save_pretrained(folder)
    save_tokenizer(tiny_encoder, folder)
    return folder


@pytest.fixture(scope="module")
def tagger(folder):
    return Tagger.load(folder, precision="fp32")


def found(folder, strategy, texts):
    from transformers import pipeline

    warnings.filterwarnings("ignore", "Tokenizer does not support real words")
    tag = pipeline("token-classification", model=str(folder), aggregation_strategy=strategy)
    return [[(e["start"], e["end"], e["entity_group"]) for e in tag(text)] for text in texts]


def ours(tagger, sentences, language):
    """Character spans of the entities that the tagger finds in given words."""
    raw = [join(words, language) for words in sentences]
    tagged = tagger.tag_words(raw)
    return [
        [(spans[a][0], spans[b - 1][1], kind) for a, b, kind in spans_of(tags)]
        for tags, (_, spans) in zip(tagged, raw, strict=True)
    ]


# No text here has a piece of nothing but a space: what a model says of one is trained by nothing, and `pipeline` takes it for
# a word of its own.
SPACED = ["Anna Keller wohnt bei Wien", "Der Bundestag klagt nicht bei Bonn", "New York Times Co klagt"]
UNSPACED = ["Anna住在北京", "NATO秘书长访问巴黎", "Zhejiang大学在杭州"]


def test_no_text_has_a_piece_of_nothing(tagger):
    tokens = tagger.tokeniser([*SPACED, *UNSPACED])
    assert (tokens.starts < tokens.ends).all()


def test_words_of_spaced_languages(folder, tagger):
    sentences = [text.split() for text in SPACED]
    expected = ours(tagger, sentences, "de")
    assert sum(map(len, expected)) > 3
    assert found(folder, "first", SPACED) == expected


def test_pieces_of_chinese(folder, tagger):
    expected = ours(tagger, [list(text) for text in UNSPACED], "zh")
    assert sum(map(len, expected)) > 3
    assert found(folder, "simple", UNSPACED) == expected


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.text("aäbZ中 .\t\u00a0\u2028", min_size=1, max_size=12).filter(lambda x: x.strip() == x),
        min_size=1,
        max_size=4,
    )
)
def test_a_saved_tokenizer_cuts_the_same(tiny_encoder, folder, texts):
    before, after = Tokeniser(str(tiny_encoder)), Tokeniser(str(folder))
    one, two = before(texts), after(texts)
    assert one.ids.values.tolist() == two.ids.values.tolist() and one.ids.offsets.tolist() == two.ids.offsets.tolist()
    keep = one.starts < one.ends
    assert (
        one.starts[keep].tolist() == two.starts[keep].tolist() and one.ends[keep].tolist() == two.ends[keep].tolist()
    )
