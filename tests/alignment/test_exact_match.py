"""Exact string matches of names: which names are certain, and which ones the models must read."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xner_ray import schema
from xner_ray.alignment.decoding import Decoding
from xner_ray.alignment.exact_match import exact_matches
from xner_ray.alignment.projector import Projector
from xner_ray.alignment.queries import Queries, query_texts


def sentence_pairs(*rows):
    """Rows of (source, target, [(name, type)]). Each name is the next occurrence in the source."""
    lists = []
    for source, _, names in rows:
        position, entities = 0, []
        for name, kind in names:
            start = source.index(name, position)
            position = start + 1
            entities.append({"start": start, "end": start + len(name), "type": kind, "score": 0.9})
        lists.append(entities)
    columns = {"source": [r[0] for r in rows], "target": [r[1] for r in rows]}
    return pa.table({**columns, "entities": pa.array(lists, schema.ENTITIES.type)})


def matched_names(*rows, language="de"):
    """Names with an exact match: [(row, name, start)]."""
    table = sentence_pairs(*rows)
    queries = Queries.from_table(table)
    texts = query_texts(table, queries, language)
    matches = exact_matches(queries, texts, 0.99)
    surfaces = texts.spans_of(matches).texts(texts.target_strings).to_pylist()
    names = [queries.names[i] for i in queries.name_ids[matches.query_ids]]
    assert surfaces == names
    return list(zip(queries.rows[matches.query_ids].tolist(), names, matches.starts.tolist(), strict=True))


ANNA = ("Anna Berg came", "Gestern kam Anna Berg.", [("Anna Berg", "PER")])


def test_a_name_with_equal_counts_in_source_and_target_is_matched():
    assert matched_names(ANNA, ("x", "x", []), ("In Ulm, Ulm", "Ulm und Ulm", [("Ulm", "LOC"), ("Ulm", "LOC")])) == [
        (0, "Anna Berg", 12), (2, "Ulm", 0), (2, "Ulm", 8),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "row",
    [
        ("Ulm", "Ulms Rat", [("Ulm", "LOC")]),  # inflected
        ("Ulm", "die Ulm-Reise", [("Ulm", "LOC")]),  # part of a compound
        ("Ulm", "Ulm, ja Ulm", [("Ulm", "LOC")]),  # more often in the target
        ("Ulm and Ulm", "Ulm", [("Ulm", "LOC"), ("Ulm", "LOC")]),  # more often in the source
        ("Anna Berg", "Anna-Maria Berg", [("Anna Berg", "PER")]),
        ("Anna Berg", "Anna  Berg", [("Anna Berg", "PER")]),  # other spaces
        ("union", "die union", [("union", "ORG")]),  # no capital letter
        ("A", "A", [("A", "MISC")]),  # one letter
        ("Ulm", "", [("Ulm", "LOC")]),
        ("Reading Reading", "Reading Reading", [("Reading", "LOC"), ("Reading", "ORG")]),  # two types
    ],
)
def test_uncertain_names_have_no_match(row):
    assert matched_names(row) == []


def test_an_occurrence_inside_a_longer_name_does_not_count():
    paris = [("Paris SG", "ORG"), ("Paris", "LOC")]
    both = ("Paris SG left Paris", "Paris SG verließ Paris", paris)
    assert matched_names(both) == [(0, "Paris SG", 0), (0, "Paris", 17)]
    assert matched_names(("Paris SG left Paris", "Paris SG verließ die Hauptstadt", paris)) == [(0, "Paris SG", 0)]


names = st.lists(st.sampled_from(["Anna", "Berg", "Ulm", "der", "Rat"]), min_size=1, max_size=2).map(" ".join)


@given(st.lists(st.tuples(names, st.lists(names, min_size=1, max_size=6)), min_size=1, max_size=4))
def test_matches_agree_with_a_slow_version(rows):
    """One name a pair, counted word by word."""

    def count(name, text):
        name, text = name.split(), text.split()
        return sum(text[i : i + len(name)] == name for i in range(len(text)))

    table = [(name, " ".join(target), [(name, "PER")]) for name, target in rows]
    expected = [i for i, (name, text, _) in enumerate(table) if count(name, text) == 1 and name != name.lower()]
    assert [row for row, _, _ in matched_names(*table)] == expected


def test_matched_names_skip_the_models(folder):
    table = sentence_pairs(ANNA, ("Rome", "Rom", [("Rome", "LOC")]))
    projector = Projector.load(folder, "fp32", 256, "cpu")
    projector.decoding = Decoding(0.0, exact_match_score=0.99)
    matched, aligned = projector.project(table, "de").to_pylist()
    assert matched == [
        {"entity": 0, "start": 12, "end": 21, "score": np.float32(0.99), "aligner": None, "similarity": None}
    ]
    assert aligned[0]["aligner"] is not None
    assert (projector.stats.rows, projector.stats.extra["exact_matches"]) == (1, 1)
    assert projector.project(table.slice(0, 1), "de").to_pylist() == [matched] and projector.stats.rows == 1
    projector.decoding = Decoding(0.0)
    assert projector.project(table, "de").to_pylist()[0][0]["aligner"] is not None


def test_languages_without_spaces_have_no_exact_matches(folder):
    projector = Projector.load(folder, "fp32", 256, "cpu")
    projector.decoding = Decoding(0.0, exact_match_score=0.99)
    (row,) = projector.project(sentence_pairs(("In Ulm", "Ulm。", [("Ulm", "LOC")])), "zh").to_pylist()
    assert all(p["aligner"] is not None for p in row) and "exact_matches" not in projector.stats.extra
