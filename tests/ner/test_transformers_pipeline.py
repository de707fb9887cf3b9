"""`transformers.pipeline` on a saved folder finds what `xner tag` finds.

The head is random, so that every label comes up at every piece: what holds here holds by construction, not by training.
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xner_ray.encoders.load import load_model, save_tokenizer
from xner_ray.encoders.tokenizer import Tokenizer
from xner_ray.ner.tagger import Tagger
from xner_ray.text.tags import label_list


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


@pytest.fixture(scope="module")
def theirs(folder):
    """Entities of a text as the plain call of the model card finds them."""
    from transformers import pipeline

    tag = pipeline("token-classification", model=str(folder), aggregation_strategy="simple")
    return lambda text: [(e["start"], e["end"], e["entity_group"], e["score"]) for e in tag(text)]


def agree(tagger, theirs, texts):
    """How many entities there are, after a look that both find the same."""
    ours = tagger.tag(texts, "en")
    for text, found in zip(texts, ours, strict=True):
        expected = theirs(text)
        assert [e[:3] for e in found] == [e[:3] for e in expected], text
        assert [e[3] for e in found] == pytest.approx([e[3] for e in expected], abs=1e-3)
    return sum(map(len, ours))


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


def test_made_up_sentences(tagger, theirs):
    assert agree(tagger, theirs, TEXTS) > 50


WORDS = st.text("abzÄßéZ019", min_size=1, max_size=6) | st.text("中国北京人", min_size=1, max_size=3)
MARKS = st.sampled_from(
    [*".,;:!?()[]{}'’\"„“”«»-–/&%€#@…。，《》（）", "...", "--", "'s", "U.S.", " ", "  ", "\u00a0", "\t"]
)


@settings(deadline=None, max_examples=150)
@given(st.lists(WORDS | MARKS | st.just(" "), max_size=20).map("".join))
def test_any_text(tagger, theirs, text):
    agree(tagger, theirs, [text])


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.text("aäbZ中 .\t\u00a0\u2028", min_size=1, max_size=12).filter(lambda x: x.strip() == x),
        min_size=1,
        max_size=4,
    )
)
def test_a_saved_tokenizer_cuts_the_same(tiny_encoder, folder, texts):
    before, after = Tokenizer(str(tiny_encoder)), Tokenizer(str(folder))
    one, two = before(texts), after(texts)
    assert one.ids.values.tolist() == two.ids.values.tolist() and one.ids.offsets.tolist() == two.ids.offsets.tolist()
    keep = one.starts < one.ends
    assert (
        one.starts[keep].tolist() == two.starts[keep].tolist() and one.ends[keep].tolist() == two.ends[keep].tolist()
    )
