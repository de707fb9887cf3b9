"""Word tags are encoded as token labels, and token labels are decoded to the same tags."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from xner_ray.ner.decoding import decode_entities, decode_word_labels
from xner_ray.ner.token_labels import encode_tags, first_subwords
from xner_ray.ner.word_spans import WordSpans
from xner_ray.text.tags import bio2_to_spans, label_list, spans_to_bio2
from xner_ray.text.words import join_tokens
from xner_ray.training.data import IGNORE_INDEX

LABELS = label_list(["LOC", "PER"])


sentences = st.lists(
    st.lists(st.tuples(st.text("abcäöz,", min_size=1, max_size=6), st.integers(0, 4)), min_size=1, max_size=8),
    min_size=1,
    max_size=5,
)


@settings(deadline=None, max_examples=60)
@given(sentences)
def test_encoded_tags_are_decoded_to_the_same_tags(tokenizer, rows):
    raw = [join_tokens([w for w, _ in row], "de") for row in rows]
    words = WordSpans.from_lists([spans for _, spans in raw])
    legal = [spans_to_bio2(bio2_to_spans([LABELS[t] for _, t in row]), len(row)) for row in rows]
    tags = np.array([LABELS.index(tag) for row in legal for tag in row], np.int32)
    data, num_truncated = encode_tags(tokenizer, [t for t, _ in raw], words, tags, LABELS, 128)
    assert num_truncated == 0
    tokens = tokenizer([t for t, _ in raw])
    content = np.flatnonzero(data.labels != IGNORE_INDEX)
    assert len(content) == len(tokens.ids.values), "every token has a label"
    probabilities = np.eye(len(LABELS), dtype=np.float32)[data.labels[content]]
    ids, scores = decode_word_labels(probabilities, first_subwords(tokens, words), words.rows, LABELS)
    assert ids.tolist() == tags.tolist()
    by_word = decode_entities(ids, scores, words, LABELS)
    token_spans = WordSpans(tokens.starts, tokens.ends, tokens.ids.offsets)
    by_token = decode_entities(data.labels[content], np.ones(len(content)), token_spans, LABELS)
    for name in ("rows", "starts", "ends", "types"):
        assert getattr(by_token, name).tolist() == getattr(by_word, name).tolist(), name


def test_later_subwords_continue_the_entity(tokenizer):
    text, spans = join_tokens(["zzyzx", "abba", ",", "b"], "de")
    tags = np.array([LABELS.index(x) for x in ("B-PER", "O", "B-LOC", "I-LOC")], np.int32)
    data, _ = encode_tags(tokenizer, [text], WordSpans.from_lists([spans]), tags, LABELS, 128)
    assert data.labels[0] == data.labels[-1] == IGNORE_INDEX
    tokens = [tokenizer.backend.id_to_token(i) for i in data.ids.values[1:-1]]
    labels = [LABELS[i] for i in data.labels[1:-1]]
    assert list(zip(tokens, labels, strict=True)) == [
        ("\u2581z", "B-PER"),
        ("zy", "I-PER"),
        ("zx", "I-PER"),
        ("\u2581", "O"),
        ("ab", "O"),
        ("ba", "O"),
        ("\u2581", "O"),  # a lone metaspace never starts an entity
        (",", "B-LOC"),
        ("\u2581b", "I-LOC"),
    ]


def test_an_entity_continues_over_a_lone_metaspace(tokenizer):
    text, spans = join_tokens(["ab", ",", "c"], "de")
    tags = np.array([LABELS.index(x) for x in ("B-LOC", "I-LOC", "O")], np.int32)
    data, _ = encode_tags(tokenizer, [text], WordSpans.from_lists([spans]), tags, LABELS, 128)
    assert [LABELS[i] for i in data.labels[1:-1]] == ["O", "B-LOC", "I-LOC", "I-LOC", "O"]


def test_all_subwords_of_an_ignored_word_are_ignored(tokenizer):
    text, spans = join_tokens(["zzyzx", "b"], "de")
    tags = np.array([IGNORE_INDEX, LABELS.index("B-LOC")], np.int32)
    data, _ = encode_tags(tokenizer, [text], WordSpans.from_lists([spans]), tags, LABELS, 128)
    assert data.labels.tolist() == [IGNORE_INDEX] * 4 + [LABELS.index("B-LOC"), IGNORE_INDEX]


def test_long_sentences_are_truncated_and_counted(tokenizer):
    text, spans = join_tokens(["abc"] * 100, "de")
    words = WordSpans.from_lists([spans, [(0, 3)]])
    data, num_truncated = encode_tags(tokenizer, [text, "abc"], words, np.zeros(101, np.int32), LABELS, 20)
    assert num_truncated == 1
    assert data.ids.lengths.tolist()[0] == 20
