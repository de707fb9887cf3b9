"""Names that are spelled alike on both sides, and when that is no proof."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xner_ray import schema
from xner_ray.alignment.decoding import Decoding
from xner_ray.alignment.exact_match import alike
from xner_ray.alignment.projector import Projector
from xner_ray.alignment.queries import queries_of, rows_asked
from xner_ray.ner.word_spans import WordSpans


def pairs(*rows):
    """Each (source, target, [(name, type)]), names where they stand in the source, one after the other."""
    lists = []
    for source, _, names in rows:
        at, row = 0, []
        for name, kind in names:
            start = source.index(name, at)
            at = start + 1
            row.append({"start": start, "end": start + len(name), "type": kind, "score": 0.9})
        lists.append(row)
    columns = {"source": [r[0] for r in rows], "target": [r[1] for r in rows]}
    return pa.table({**columns, "entities": pa.array(lists, schema.ENTITIES.type)})


def found(*rows, language="de"):
    """Names taken as they are, with their places: [(row, name, start)]."""
    table = pairs(*rows)
    queries = queries_of(table)
    _, _, targets, text = rows_asked(table, queries)
    known = alike(queries, targets, text, WordSpans.from_texts(targets, language), language, 0.99)
    for query, start, end in zip(known["query"], known["start"], known["end"], strict=True):
        assert targets[text[query]][start:end] == queries.names[queries.name[query]]
    of = known["query"]
    return list(
        zip(
            queries.row[of].tolist(),
            [queries.names[i] for i in queries.name[of]],
            known["start"].tolist(),
            strict=True,
        )
    )


ANNA = ("Anna Berg came", "Gestern kam Anna Berg.", [("Anna Berg", "PER")])


def test_a_name_spelled_alike():
    assert found(ANNA, ("x", "x", []), ("In Ulm, Ulm", "Ulm und Ulm", [("Ulm", "LOC"), ("Ulm", "LOC")])) == [
        (0, "Anna Berg", 12), (2, "Ulm", 0), (2, "Ulm", 8),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "row",
    [
        ("Ulm", "Ulms Rat", [("Ulm", "LOC")]),  # inflected
        ("Ulm", "die Ulm-Reise", [("Ulm", "LOC")]),  # compounded
        ("Ulm", "Ulm, ja Ulm", [("Ulm", "LOC")]),  # which of them?
        ("Ulm and Ulm", "Ulm", [("Ulm", "LOC"), ("Ulm", "LOC")]),  # where is the other?
        ("Anna Berg", "Anna-Maria Berg", [("Anna Berg", "PER")]),
        ("Anna Berg", "Anna  Berg", [("Anna Berg", "PER")]),  # other spaces
        ("union", "die union", [("union", "ORG")]),  # no capital
        ("A", "A", [("A", "MISC")]),  # too short to tell
        ("Ulm", "", [("Ulm", "LOC")]),
        ("Reading Reading", "Reading Reading", [("Reading", "LOC"), ("Reading", "ORG")]),  # two types
    ],
)
def test_what_must_be_asked(row):
    assert found(row) == []


def test_a_name_within_another():
    paris = [("Paris SG", "ORG"), ("Paris", "LOC")]
    assert found(("Paris SG left Paris", "Paris SG verließ Paris", paris)) == [(0, "Paris SG", 0), (0, "Paris", 17)]
    assert found(("Paris SG left Paris", "Paris SG verließ die Hauptstadt", paris)) == [(0, "Paris SG", 0)]


names = st.lists(st.sampled_from(["Anna", "Berg", "Ulm", "der", "Rat"]), min_size=1, max_size=2).map(" ".join)


@given(st.lists(st.tuples(names, st.lists(names, min_size=1, max_size=6)), min_size=1, max_size=4))
def test_as_often_and_word_for_word(rows):
    """The slow reading: one name a pair, counted by words."""

    def times(name, text):
        name, text = name.split(), text.split()
        return sum(text[i : i + len(name)] == name for i in range(len(text)))

    table = [(name, " ".join(target), [(name, "PER")]) for name, target in rows]
    expected = [i for i, (name, text, _) in enumerate(table) if times(name, text) == 1 and name != name.lower()]
    assert [row for row, _, _ in found(*table)] == expected


def test_nobody_is_asked(folder):
    table = pairs(ANNA, ("Rome", "Rom", [("Rome", "LOC")]))
    projector = Projector.load(folder, "fp32", 256, "cpu")
    projector.decoding = Decoding(0.0, exact_match_score=0.99)
    known, asked = projector.project(table, "de").to_pylist()
    assert known == [
        {"entity": 0, "start": 12, "end": 21, "score": np.float32(0.99), "aligner": None, "similarity": None}
    ]
    assert asked[0]["aligner"] is not None
    assert (projector.stats.rows, projector.stats.extra["alike_names"]) == (1, 1)
    assert projector.project(table.slice(0, 1), "de").to_pylist() == [known] and projector.stats.rows == 1
    projector.decoding = Decoding(0.0)
    assert projector.project(table, "de").to_pylist()[0][0]["aligner"] is not None


def test_where_every_character_is_a_word_all_are_asked(folder):
    projector = Projector.load(folder, "fp32", 256, "cpu")
    projector.decoding = Decoding(0.0, exact_match_score=0.99)
    (row,) = projector.project(pairs(("In Ulm", "Ulm。", [("Ulm", "LOC")])), "zh").to_pylist()
    assert all(p["aligner"] is not None for p in row) and "alike_names" not in projector.stats.extra
