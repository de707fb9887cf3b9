import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xner_ray import schema
from xner_ray.alignment.queries import Mentions, Queries, QueryTexts, encode_queries, query_texts, truncate
from xner_ray.encoders.ragged import Ragged
from xner_ray.ner.word_spans import WordSpans

TEXT = st.text(alphabet="ab Ä京,", max_size=12)


def make_table(rows):
    """Rows of (source, target, [(start, end, type)])."""
    entities = [[{"start": a, "end": b, "type": t, "score": 1.0} for a, b, t in e] for _, _, e in rows]
    return pa.table(
        {
            "source": pa.array([r[0] for r in rows], pa.string()),
            "target": pa.array([r[1] for r in rows], pa.string()),
            "entities": pa.array(entities, schema.ENTITIES.type),
        }
    )


def listed(queries):
    """(row, entity, name) of each query."""
    names = [queries.names[i] for i in queries.name_ids]
    return list(zip(queries.rows.tolist(), queries.entities.tolist(), names, strict=True))


def slow_queries(table):
    found = []
    for row, (source, entities) in enumerate(
        zip(*(table[c].to_pylist() for c in ("source", "entities")), strict=True)
    ):
        seen = set()
        for i, e in enumerate(entities):
            key = (source[e["start"] : e["end"]], e["type"])
            if key not in seen:
                seen.add(key)
                found.append((row, i, key[0]))
    return found


ROMES = [
    ("Rome and Rome and Ann", "x", [(0, 4, "LOC"), (9, 13, "LOC"), (18, 21, "PER")]),
    ("nothing", "y", []),
    ("Rome, Rome", "z", [(0, 4, "LOC"), (6, 10, "ORG")]),
]


def test_entities_with_equal_text_and_type_are_one_query():
    table = make_table(ROMES)
    queries = Queries.from_table(table)
    assert listed(queries) == [(0, 0, "Rome"), (0, 2, "Ann"), (2, 0, "Rome"), (2, 1, "Rome")]
    assert queries.mention_counts().tolist() == [2, 1, 1, 1]
    texts = query_texts(table, queries, "de")
    assert texts.targets == ["x", "z"] and texts.pair_ids.tolist() == [0, 0, 1, 1]


def test_a_selection_of_queries_has_their_mentions_and_pairs():
    table = make_table(ROMES)
    queries = Queries.from_table(table)
    selected = np.array([1, 3])
    part, texts = queries.take(selected), query_texts(table, queries, "de").take_queries(selected)
    assert listed(part) == [(0, 2, "Ann"), (2, 1, "Rome")]
    assert (part.mentions.query_ids.tolist(), part.mentions.starts.tolist()) == ([0, 1], [18, 6])
    assert texts.targets == ["x", "z"] and texts.pair_ids.tolist() == [0, 1]
    last = query_texts(table, queries, "de").take_queries(selected[1:])
    assert last.targets == ["z"] and last.words.offsets.tolist() == [0, 1]


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_queries_agree_with_a_loop(data):
    rows = []
    for _ in range(data.draw(st.integers(0, 4))):
        source = data.draw(st.text(alphabet="abÄ京 ", min_size=1, max_size=6))
        span = st.tuples(st.integers(0, len(source) - 1), st.integers(1, 2), st.sampled_from(["PER", "LOC"]))
        rows.append(
            (source, "t", [(a, min(len(source), a + n), t) for a, n, t in data.draw(st.lists(span, max_size=4))])
        )
    table = make_table(rows)
    # A slice of a larger table must give the same queries.
    padded = pa.concat_tables([make_table([("pad", "p", [(0, 1, "PER")])]), table]).slice(1)
    for queries in (Queries.from_table(table), Queries.from_table(padded)):
        assert listed(queries) == slow_queries(table)


def encode(tokenizer, names, name_ids, texts, pair_ids, max_length):
    none = np.zeros(0, np.int64)
    queries = Queries(names, name_ids, none, none, Mentions(none, none, none))
    texts = QueryTexts([], texts, pair_ids, WordSpans.from_lists([]), None, "de")
    return encode_queries(tokenizer, queries, texts, max_length)


@settings(max_examples=50, deadline=None)
@given(st.lists(TEXT, min_size=1, max_size=3), st.lists(TEXT, min_size=1, max_size=3), st.data())
def test_encoded_queries_are_those_of_the_tokenizer(tokenizer, names, texts, data):
    pick = st.lists(st.tuples(st.integers(0, len(names) - 1), st.integers(0, len(texts) - 1)), max_size=5)
    name_ids, pair_ids = np.array(data.draw(pick), np.int64).reshape(-1, 2).T
    encoded = encode(tokenizer, names, name_ids, texts, pair_ids, 128)
    position = 0
    for i, (n, t) in enumerate(zip(name_ids, pair_ids, strict=True)):
        expected = tokenizer.backend.encode(names[n], texts[t])
        assert encoded.ids[i].tolist() == expected.ids and encoded.segment_ids[i].tolist() == expected.type_ids
        positions = encoded.target_positions[position : position + encoded.tokens.ids.lengths[t]]
        assert encoded.ids.values[positions].tolist() == encoded.tokens.ids[t].tolist()
        position += len(positions)
    assert position == len(encoded.target_positions)
    assert (encoded.num_truncated_names, encoded.num_windowed) == (0, 0)


@pytest.mark.parametrize("words", [40, 200])
def test_long_targets_have_windows_and_long_names_are_truncated_and_both_are_counted(tokenizer, words):
    texts, names = ["京" * words * 2, "ab"], ["名" * 50, "ab"]
    name_ids, pair_ids = np.array([0, 1, 1]), np.array([0, 0, 1])
    encoded = encode(tokenizer, names, name_ids, texts, pair_ids, 64)
    assert encoded.ids.lengths.max() <= 64
    assert (encoded.num_truncated_names, encoded.num_windowed) == (1, 2)
    # Every target token of each query has one position, and it is in segment B.
    expected = encoded.tokens.ids.take(pair_ids)
    assert encoded.ids.values[encoded.target_positions].tolist() == expected.values.tolist()
    assert set(encoded.segment_ids.values[encoded.target_positions].tolist()) == {1}


def test_truncate():
    ids, is_truncated = truncate(Ragged.from_rows([[1, 2, 3], [], [4]]), 2)
    assert [ids[i].tolist() for i in range(3)] == [[1, 2], [], [4]]
    assert is_truncated.tolist() == [True, False, False]
