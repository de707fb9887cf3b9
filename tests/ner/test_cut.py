"""What was cut ahead is what taggers and projectors would cut themselves, and they find the same with it."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xner_ray.alignment.projector import Projector
from xner_ray.encoders.tokenizer import Tokenizer
from xner_ray.ner.label_table import label_table
from xner_ray.ner.pretokenize import SOURCE, TARGET, pretokenize_table, tokens_and_words
from xner_ray.ner.tagger import Tagger
from xner_ray.ner.word_spans import WordSpans
from xner_ray.schema import PRETOKENIZED

PAIRS = [
    ("Anna Keller went to Vienna.", "安娜去了维也纳。"),
    ("", "x"),
    ("  two  spaces ", ""),
    ("Mr. O'Neill of Paris met Anna Keller in Vienna", "奥尼尔先生在维也纳会见了安娜"),
]
TEXT = st.text(st.sampled_from("Anna Wien.'- \u3000维也纳é"), max_size=30)


@pytest.fixture(scope="module")
def tokenizer(tiny_encoder):
    return Tokenizer(str(tiny_encoder), without_transformers=True)


def table_of(pairs) -> pa.Table:
    return pa.table({"source": [a for a, _ in pairs], "target": [b for _, b in pairs]}, schema=pa.schema(
        [("source", pa.string()), ("target", pa.string())]
    ))  # fmt: skip


@settings(deadline=None, max_examples=30)
@given(pairs=st.lists(st.tuples(TEXT, TEXT), max_size=6))
def test_it_comes_back_as_it_was_cut(tokenizer, pairs):
    table = table_of(pairs)
    table = table.append_column(PRETOKENIZED, pretokenize_table(table, (tokenizer, "en"), (tokenizer, "zh")))
    rows = np.arange(len(pairs))[::-1]
    for side, name, language in ((SOURCE, "source", "en"), (TARGET, "target", "zh")):
        texts = table.column(name).to_pylist()
        tokens, words = tokens_and_words(table, side)
        _same(tokens, tokenizer(texts))
        _same_words(words, WordSpans.from_texts(texts, language))
        turned = [texts[i] for i in rows]
        _same(tokens.take(rows), tokenizer(turned))
        _same_words(words.take(rows), WordSpans.from_texts(turned, language))


def _same(found, wanted) -> None:
    assert found.ids.values.tolist() == wanted.ids.values.tolist()
    assert found.ids.offsets.tolist() == wanted.ids.offsets.tolist()
    assert (found.starts.tolist(), found.ends.tolist()) == (wanted.starts.tolist(), wanted.ends.tolist())


def _same_words(found, wanted) -> None:
    for name in ("starts", "ends", "offsets"):
        assert getattr(found, name).tolist() == getattr(wanted, name).tolist()


def test_the_same_is_found(tiny_encoder, tokenizer):
    plain = table_of(PAIRS * 5)
    column = pretokenize_table(plain, (tokenizer, "en"), (tokenizer, "zh"))
    tagger, projector = Tagger.load_null(tiny_encoder), Projector.load_null(tiny_encoder)
    found = []
    for table in (plain, plain.append_column(PRETOKENIZED, column)):
        labeled = label_table(tagger, table)
        found.append((labeled.column("entities").to_pylist(), projector.project(labeled, "zh").to_pylist()))
    assert found[0] == found[1]
    assert any(found[0][0]) and any(found[0][1])


def test_a_teacher_with_a_tokenizer_of_its_own_gets_words_alone(tokenizer):
    table = table_of(PAIRS)
    table = table.append_column(PRETOKENIZED, pretokenize_table(table, (None, "en"), (tokenizer, "zh")))
    tokens, words = tokens_and_words(table, SOURCE)
    assert len(tokens.ids) == len(PAIRS) and not len(tokens.starts) and len(words.starts)
