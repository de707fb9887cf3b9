"""`transformers.pipeline` on a saved folder reads the same tokens as `xner tag`, with the same labels and scores.

The head is random, so every label occurs at every kind of token. The equality is therefore independent of training. The
pipeline makes entities of tokens, and `xner tag` makes them of words, so the entities of a random head differ.
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.harness.random_tagger import save_random_tagger
from xner_ray.encoders.tokenizer import Tokenizer
from xner_ray.ner.tagger import Tagger


@pytest.fixture(scope="module")
def folder(tiny_encoder, tmp_path_factory):
    return save_random_tagger(tiny_encoder, tmp_path_factory.mktemp("tagger"))


@pytest.fixture(scope="module")
def tagger(folder):
    return Tagger.load(folder, precision="fp32")


@pytest.fixture(scope="module")
def pipeline_tokens(folder):
    """A function: start, end, label and score of each token of a text, as the pipeline sees them before aggregation."""
    from transformers import pipeline

    tag = pipeline("token-classification", model=str(folder), aggregation_strategy="none", ignore_labels=[])
    return lambda text: [(e["start"], e["end"], e["entity"], e["score"]) for e in tag(text)]


def assert_equal_tokens(tagger, pipeline_tokens, texts):
    """Assert that both read the same tokens with the same labels. Returns the number of tokens."""
    tokens = tagger.tokenizer(texts)
    scores = tagger.probabilities(tokens)
    offsets = tokens.ids.offsets
    for row, text in enumerate(texts):
        expected = pipeline_tokens(text)
        here = slice(offsets[row], offsets[row + 1])
        assert [tagger.labels[i] for i in scores[here].argmax(axis=1)] == [e[2] for e in expected], text
        assert scores[here].max(axis=1).tolist() == pytest.approx([e[3] for e in expected], abs=1e-3)
        ends = [(a, b) for a, b in zip(tokens.starts[here], tokens.ends[here], strict=True) if a < b]
        assert set(ends) <= {e[:2] for e in expected}, text
    return len(scores)


TEXTS = [
    "Der „Spiegel“-Chef sagte am 17. Dezember in Berlin, (West-)Berlin und Frankfurt/Main: „Ja!“",
    "Londoner Börse; F.C.-Präsident J. Müller-Lüdenscheidt (SPD), U.S.A.'s zo'n 's avonds...",
    "¿El Banco Central Europeo? ¡Sí!—dijo «José» en 1.5/2:1 (EE.UU.), 3,000 € @INPS #1",
    "安格拉·默克尔2008年访问北京（中国），NATO秘书长说：“好。”",
    "Anna 住在 北京。 in 北京",
    "",
    " \t ",
    " x",
    "\u200bAnna\u00a0Keller\u2028㎞ ½ … ﬁn\u00adal 𝄞 ▁ </s> <unk>",
    "wien " * 20,
]


def test_difficult_sentences(tagger, pipeline_tokens):
    assert assert_equal_tokens(tagger, pipeline_tokens, TEXTS) > 150


WORDS = st.text("abzÄßéZ019", min_size=1, max_size=6) | st.text("中国北京人", min_size=1, max_size=3)
MARKS = st.sampled_from(
    [*".,;:!?()[]{}'’\"„“”«»-–/&%€#@…。，《》（）", "...", "--", "'s", "U.S.", " ", "  ", "\u00a0", "\t"]
)


@settings(deadline=None, max_examples=150)
@given(st.lists(WORDS | MARKS | st.just(" "), max_size=20).map("".join))
def test_random_text(tagger, pipeline_tokens, text):
    assert_equal_tokens(tagger, pipeline_tokens, [text])


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.text("aäbZ中 .\t\u00a0\u2028", min_size=1, max_size=12).filter(lambda x: x.strip() == x),
        min_size=1,
        max_size=4,
    )
)
def test_a_saved_tokenizer_gives_the_same_tokens(tiny_encoder, folder, texts):
    before, after = Tokenizer(str(tiny_encoder)), Tokenizer(str(folder))
    one, two = before(texts), after(texts)
    assert one.ids.values.tolist() == two.ids.values.tolist() and one.ids.offsets.tolist() == two.ids.offsets.tolist()
    keep = one.starts < one.ends
    assert (
        one.starts[keep].tolist() == two.starts[keep].tolist() and one.ends[keep].tolist() == two.ends[keep].tolist()
    )
