"""Pretokenized shards give the same tokens, words, entities and projections as raw text."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from xner_ray.alignment.projector import Projector
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


def table_of(pairs) -> pa.Table:
    return pa.table({"source": [a for a, _ in pairs], "target": [b for _, b in pairs]}, schema=pa.schema(
        [("source", pa.string()), ("target", pa.string())]
    ))  # fmt: skip


@settings(deadline=None, max_examples=30)
@given(pairs=st.lists(st.tuples(TEXT, TEXT), max_size=6))
def test_tokens_and_words_survive_the_column(tokenizer, pairs):
    table = table_of(pairs)
    table = table.append_column(PRETOKENIZED, pretokenize_table(table, (tokenizer, "en"), (tokenizer, "zh")))
    rows = np.arange(len(pairs))[::-1]
    for side, name, language in ((SOURCE, "source", "en"), (TARGET, "target", "zh")):
        texts = table.column(name).to_pylist()
        tokens, words = tokens_and_words(table, side)
        _assert_same_tokens(tokens, tokenizer(texts))
        _assert_same_words(words, WordSpans.from_texts(texts, language))
        reversed_texts = [texts[i] for i in rows]
        _assert_same_tokens(tokens.take(rows), tokenizer(reversed_texts))
        _assert_same_words(words.take(rows), WordSpans.from_texts(reversed_texts, language))


def _assert_same_tokens(tokens, expected) -> None:
    assert tokens.ids.values.tolist() == expected.ids.values.tolist()
    assert tokens.ids.offsets.tolist() == expected.ids.offsets.tolist()
    assert (tokens.starts.tolist(), tokens.ends.tolist()) == (expected.starts.tolist(), expected.ends.tolist())


def _assert_same_words(words, expected) -> None:
    for name in ("starts", "ends", "offsets"):
        assert getattr(words, name).tolist() == getattr(expected, name).tolist()


def test_entities_and_projections_are_the_same(tiny_encoder, tokenizer):
    plain = table_of(PAIRS * 5)
    column = pretokenize_table(plain, (tokenizer, "en"), (tokenizer, "zh"))
    tagger, projector = Tagger.load_null(tiny_encoder), Projector.load_null(tiny_encoder)
    results = []
    for table in (plain, plain.append_column(PRETOKENIZED, column)):
        labeled = label_table(tagger, table, "en")
        results.append((labeled.column("entities").to_pylist(), projector.project(labeled, "zh").to_pylist()))
    assert results[0] == results[1]
    assert any(results[0][0]) and any(results[0][1])


def test_without_a_tokenizer_there_are_words_but_no_tokens(tokenizer):
    table = table_of(PAIRS)
    table = table.append_column(PRETOKENIZED, pretokenize_table(table, (None, "en"), (tokenizer, "zh")))
    tokens, words = tokens_and_words(table, SOURCE)
    assert len(tokens.ids) == len(PAIRS) and not len(tokens.starts) and len(words.starts)
