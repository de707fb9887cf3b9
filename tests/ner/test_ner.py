"""Words meet pieces: what is encoded is what is decoded."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xner_ray.encoders.load import load_model
from xner_ray.encoders.tokenizer import Tokenizer
from xner_ray.errors import UserError
from xner_ray.ner.decoding import decode_entities, decode_word_labels
from xner_ray.ner.source_gold import gold_labels
from xner_ray.ner.tagger import Tagger
from xner_ray.ner.token_labels import encode_tags, first_subwords
from xner_ray.ner.word_spans import WordSpans
from xner_ray.text.tags import bio2_to_spans, label_list, spans_to_bio2
from xner_ray.text.words import join_tokens
from xner_ray.training.losses import IGNORE_INDEX

LABELS = label_list(["LOC", "PER"])


@pytest.fixture(scope="module")
def tokenizer(tiny_encoder):
    return Tokenizer(tiny_encoder)


sentences = st.lists(
    st.lists(st.tuples(st.text("abcäöz,", min_size=1, max_size=6), st.integers(0, 4)), min_size=1, max_size=8),
    min_size=1,
    max_size=5,
)


@settings(deadline=None, max_examples=60)
@given(sentences)
def test_what_is_encoded_is_decoded(tokenizer, rows):
    raw = [join_tokens([w for w, _ in row], "de") for row in rows]
    words = WordSpans.from_lists([spans for _, spans in raw])
    tags = np.array([t for row in rows for _, t in row], np.int32)
    data, cut = encode_tags(tokenizer, [t for t, _ in raw], words, tags, LABELS, 128)
    assert cut == 0
    tokens = tokenizer([t for t, _ in raw])
    content = np.flatnonzero(data.labels != IGNORE_INDEX)
    assert len(content) == len(tokens.ids.values), "every piece learns"
    probabilities = np.eye(len(LABELS), dtype=np.float32)[data.labels[content]]
    ids, best = decode_word_labels(probabilities, first_subwords(tokens, words), LABELS)
    assert ids.tolist() == tags.tolist()
    by_word = decode_entities(ids, best, words, LABELS)
    pieces = WordSpans(tokens.starts, tokens.ends, tokens.ids.offsets)
    by_piece = decode_entities(data.labels[content], np.ones(len(content)), pieces, LABELS)
    for name in ("rows", "starts", "ends", "types"):
        assert getattr(by_piece, name).tolist() == getattr(by_word, name).tolist(), name


def test_later_pieces_go_on_inside(tokenizer):
    text, spans = join_tokens(["zzyzx", "abba", ",", "b"], "de")
    tags = np.array([LABELS.index(x) for x in ("B-PER", "O", "B-LOC", "I-LOC")], np.int32)
    data, _ = encode_tags(tokenizer, [text], WordSpans.from_lists([spans]), tags, LABELS, 128)
    assert data.labels[0] == data.labels[-1] == IGNORE_INDEX
    pieces = [tokenizer.backend.id_to_token(i) for i in data.ids.values[1:-1]]
    learned = [LABELS[i] for i in data.labels[1:-1]]
    assert list(zip(pieces, learned, strict=True)) == [
        ("\u2581z", "B-PER"),
        ("zy", "I-PER"),
        ("zx", "I-PER"),
        ("\u2581", "O"),
        ("ab", "O"),
        ("ba", "O"),
        ("\u2581", "O"),  # a metaspace alone is never an entity's begin
        (",", "B-LOC"),
        ("\u2581b", "I-LOC"),
    ]


def test_an_entity_goes_on_over_a_metaspace_alone(tokenizer):
    text, spans = join_tokens(["ab", ",", "c"], "de")
    tags = np.array([LABELS.index(x) for x in ("B-LOC", "I-LOC", "O")], np.int32)
    data, _ = encode_tags(tokenizer, [text], WordSpans.from_lists([spans]), tags, LABELS, 128)
    assert [LABELS[i] for i in data.labels[1:-1]] == ["O", "B-LOC", "I-LOC", "I-LOC", "O"]


def test_a_word_without_loss_has_none_in_any_piece(tokenizer):
    text, spans = join_tokens(["zzyzx", "b"], "de")
    tags = np.array([IGNORE_INDEX, LABELS.index("B-LOC")], np.int32)
    data, _ = encode_tags(tokenizer, [text], WordSpans.from_lists([spans]), tags, LABELS, 128)
    assert data.labels.tolist() == [IGNORE_INDEX] * 4 + [LABELS.index("B-LOC"), IGNORE_INDEX]


def test_long_sentences_are_cut_and_counted(tokenizer):
    text, spans = join_tokens(["abc"] * 100, "de")
    data, cut = encode_tags(
        tokenizer, [text, "abc"], WordSpans.from_lists([spans, [(0, 3)]]), np.zeros(101, np.int32), LABELS, 20
    )
    assert cut == 1
    assert data.ids.lengths.tolist()[0] == 20


def test_chinese_pieces_that_hold_several_words():
    ids, scores = decode_word_labels(np.eye(5, dtype=np.float32)[[1, 0]], np.array([0, 0, 1]), LABELS)
    assert [LABELS[i] for i in ids] == ["B-LOC", "I-LOC", "O"]
    assert scores.tolist() == [1, 1, 1]


tags_strategy = st.lists(st.sampled_from(LABELS), min_size=1, max_size=12)


@given(st.lists(tags_strategy, min_size=1, max_size=4))
def test_entities_equal_the_slow_reading(rows):
    ids = np.array([LABELS.index(t) for row in rows for t in row])
    words = WordSpans.from_lists([[(3 * i, 3 * i + 2) for i in range(len(row))] for row in rows])
    found = decode_entities(ids, np.ones(len(ids), np.float32), words, LABELS)
    slow = [(r, 3 * a, 3 * b - 1, kind) for r, row in enumerate(rows) for a, b, kind in bio2_to_spans(row)]
    assert list(zip(found.rows, found.starts, found.ends, found.types, strict=True)) == slow


def test_tagger_on_raw_text_words_and_long_text(tiny_encoder, tmp_path):
    model = load_model(tiny_encoder, LABELS)
    model.save_pretrained(tmp_path)
    Tokenizer(tiny_encoder).backend.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "tokenizer_config.json").write_text((tiny_encoder / "tokenizer_config.json").read_text())
    tagger = Tagger.load(tmp_path, device="cpu")
    texts = ["", "Anna lebt in Wien.", "wien " * 200]
    for text, found in zip(texts, tagger.tag(texts, "de"), strict=True):
        for start, end, kind, score in found:
            assert 0 <= start < end <= len(text) and kind in ("LOC", "PER") and 0 <= score <= 1
    assert tagger.engine.stats.windowed_rows == 1
    tags, _ = tagger.predict_tags([join_tokens(["Anna", "lebt"], "de"), join_tokens(["Wien"], "de")])
    assert [len(t) for t in tags] == [2, 1]
    for row in tags:
        assert spans_to_bio2(bio2_to_spans(row), len(row)) == row


def test_a_folder_without_a_head_is_refused(tiny_encoder):
    with pytest.raises(UserError, match="not a trained tagger"):
        Tagger.load(tiny_encoder)


def test_gold_without_entities_is_refused():
    with pytest.raises(UserError, match="no entity"):
        gold_labels([])
