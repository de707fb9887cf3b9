import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xner_ray import schema
from xner_ray.alignment.queries import queries_of, questions, rows_asked, shorten
from xner_ray.encoders.ragged import Ragged

TEXT = st.text(alphabet="ab Ä京,", max_size=12)


def table(rows):
    """Rows of (source, target, [(start, end, type)])."""
    entities = [[{"start": a, "end": b, "type": t, "score": 1.0} for a, b, t in e] for _, _, e in rows]
    return pa.table(
        {
            "source": pa.array([r[0] for r in rows], pa.string()),
            "target": pa.array([r[1] for r in rows], pa.string()),
            "entities": pa.array(entities, schema.ENTITIES.type),
        }
    )


def naive(t):
    found = []
    for row, (source, entities) in enumerate(zip(t["source"].to_pylist(), t["entities"].to_pylist(), strict=True)):
        seen = set()
        for i, e in enumerate(entities):
            key = (source[e["start"] : e["end"]], e["type"])
            if key not in seen:
                seen.add(key)
                found.append((row, i, key[0]))
    return found


def test_equal_names_of_one_type_are_one_query():
    t = table(
        [
            ("Rome and Rome and Ann", "x", [(0, 4, "LOC"), (9, 13, "LOC"), (18, 21, "PER")]),
            ("nothing", "y", []),
            ("Rome, Rome", "z", [(0, 4, "LOC"), (6, 10, "ORG")]),
        ]
    )
    q = queries_of(t)
    assert [(r, e, q.names[n]) for r, e, n in zip(q.row, q.entity, q.name, strict=True)] == [
        (0, 0, "Rome"),
        (0, 2, "Ann"),
        (2, 0, "Rome"),
        (2, 1, "Rome"),
    ]
    assert rows_asked(t, q)[2] == ["x", "z"]
    assert rows_asked(t, q)[3].tolist() == [0, 0, 1, 1]


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_queries_are_what_a_loop_finds(data):
    rows = []
    for _ in range(data.draw(st.integers(0, 4))):
        source = data.draw(st.text(alphabet="abÄ京 ", min_size=1, max_size=6))
        span = st.tuples(st.integers(0, len(source) - 1), st.integers(1, 2), st.sampled_from(["PER", "LOC"]))
        rows.append(
            (source, "t", [(a, min(len(source), a + n), t) for a, n, t in data.draw(st.lists(span, max_size=4))])
        )
    t = table(rows)
    # A slice of a larger table must give the same.
    padded = pa.concat_tables([table([("pad", "p", [(0, 1, "PER")])]), t]).slice(1)
    for q in (queries_of(t), queries_of(padded)):
        got = [(r, e, q.names[n]) for r, e, n in zip(q.row.tolist(), q.entity.tolist(), q.name.tolist(), strict=True)]
        assert got == naive(t)


@settings(max_examples=50, deadline=None)
@given(st.lists(TEXT, min_size=1, max_size=3), st.lists(TEXT, min_size=1, max_size=3), st.data())
def test_questions_join_names_and_targets_as_the_tokenizer_does(tokenizer, names, texts, data):
    pick = st.lists(st.tuples(st.integers(0, len(names) - 1), st.integers(0, len(texts) - 1)), max_size=5)
    pairs = np.array(data.draw(pick), np.int64).reshape(-1, 2)
    asked = questions(tokenizer, names, pairs[:, 0], texts, pairs[:, 1], 128)
    at = 0
    for i, (n, t) in enumerate(pairs):
        want = tokenizer.backend.encode(names[n], texts[t])
        assert asked.ids[i].tolist() == want.ids
        assert asked.types.values[asked.ids.offsets[i] : asked.ids.offsets[i + 1]].tolist() == want.type_ids
        answers = asked.answers[at : at + asked.tokens.ids.lengths[t]]
        assert asked.ids.values[answers].tolist() == asked.tokens.ids[t].tolist()
        at += len(answers)
    assert at == len(asked.answers)
    assert (asked.cut_names, asked.windowed) == (0, 0)


@pytest.mark.parametrize("words", [40, 200])
def test_long_targets_are_windowed_and_long_names_cut_and_both_are_counted(tokenizer, words):
    texts, names = ["京" * words * 2, "ab"], ["名" * 50, "ab"]
    name, text = np.array([0, 1, 1]), np.array([0, 0, 1])
    asked = questions(tokenizer, names, name, texts, text, 64)
    assert asked.ids.lengths.max() <= 64
    assert (asked.cut_names, asked.windowed) == (1, 2)
    # Every token of each query's target is answered once, by itself.
    at = asked.tokens.ids.take(text)
    assert asked.ids.values[asked.answers].tolist() == at.values.tolist()
    assert set(asked.types.values[asked.answers].tolist()) == {1}


def test_shorten():
    short, cut = shorten(Ragged.from_rows([[1, 2, 3], [], [4]]), 2)
    assert [r.tolist() for r in (short[0], short[1], short[2])] == [[1, 2], [], [4]]
    assert cut.tolist() == [True, False, False]
