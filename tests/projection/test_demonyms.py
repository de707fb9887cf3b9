"""Demonyms: cases by hand, then a slow version on random rows."""

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.harness.projection_rows import aligned, aligned_rows, first_equal, row
from xner_ray.config import RulesConfig
from xner_ray.projection import demonyms
from xner_ray.projection.demonyms import relabel_demonyms
from xner_ray.projection.filters import assign_verdicts

CHINESE = ("Chinese tea, Chinese Open", "中国茶，中国公开赛", [(0, 7, "MISC"), (13, 25, "MISC")])
ZH = {"language": "zh"}


def relabel(*rows):
    return relabel_demonyms(aligned(list(rows)), {"zh": "LOC"}, {"zh": ["MISC"]}).to_pylist()


def test_a_demonym_gets_the_type_of_countries_and_other_misc_is_removed():
    (result,) = relabel(row(*CHINESE, [(0, 0, 2), (1, 4, 9)], **ZH))
    assert [(e["start"], e["end"], e["type"]) for e in result["entities"]] == [(0, 7, "LOC")]
    assert [(p["entity"], p["start"], p["end"]) for p in result["projections"]] == [(0, 0, 2)]
    (result,) = relabel(row(*CHINESE, [(1, 0, 2)], **ZH))
    assert [(e["start"], e["type"]) for e in result["entities"]] == [(13, "LOC")]
    assert result["projections"][0]["entity"] == 0


def test_an_unmapped_entity_of_a_dropped_type_does_not_drop_its_row():
    table = relabel_demonyms(aligned([row(*CHINESE, [(0, 0, 2)], **ZH)]), {"zh": "LOC"}, {"zh": ["MISC"]})
    assert assign_verdicts(table, RulesConfig()).column("verdict").to_pylist() == ["kept"]


def test_a_country_and_its_demonym_with_one_span_are_kept():
    both = row("China and Chinese tea", "中国茶", [(0, 5, "LOC"), (10, 17, "MISC")], [(0, 0, 2), (1, 0, 2)], **ZH)
    table = relabel_demonyms(aligned([both]), {"zh": "LOC"}, {"zh": ["MISC"]})
    filtered = assign_verdicts(table, RulesConfig()).to_pylist()[0]
    assert filtered["verdict"] == "kept" and [(s["start"], s["end"], s["type"]) for s in filtered["spans"]] == [
        (0, 2, "LOC")
    ]


def test_other_languages_and_types_do_not_change():
    german = row("Chinese tea", "China Tee", [(0, 7, "MISC")], [(0, 0, 5)])
    known = row("China", "中国", [(0, 5, "ORG")], [(0, 0, 2)], **ZH)
    assert relabel(german, known) == aligned([german, known]).to_pylist()


@settings(max_examples=100, deadline=None)
@given(st.lists(aligned_rows(), min_size=1, max_size=6))
def test_agrees_with_a_slow_version(rows):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demonyms, "country_names", lambda language: ("好", "aé", "a"))
        table = relabel_demonyms(aligned(rows), {"zh": "PER"}, {"zh": ["LOC"]})
    table.validate(full=True)
    for before, after in zip(rows, table.to_pylist(), strict=True):
        entities, projections = slow_relabel(before) if before["language"] == "zh" else (before["entities"], None)
        assert [(e["start"], e["end"], e["type"]) for e in after["entities"]] == [
            (e["start"], e["end"], e["type"]) for e in entities
        ]
        if projections is not None:
            found = [(p["entity"], p["start"], p["end"]) for p in after["projections"]]
            assert sorted(found) == sorted(projections)
    assign_verdicts(table, RulesConfig())  # every projection still points to the first of its equals


def slow_relabel(row):
    source, target, entities = row["source"], row["target"], row["entities"]
    kept = []
    for i, e in enumerate(entities):
        spans = [p for p in row["projections"] if p["entity"] == first_equal(source, entities, e)]
        if e["type"] != "LOC":
            kept.append((i, e))
        elif spans and all(target[p["start"] : p["end"]] in ("好", "aé", "a") for p in spans):
            kept.append((i, e | {"type": "PER"}))
    new = [e for _, e in kept]
    place = {i: first_equal(source, new, e) for i, e in kept}
    projections = [(place[p["entity"]], p["start"], p["end"]) for p in row["projections"] if p["entity"] in place]
    return new, projections


def test_empty_tables_and_rows_keep_the_schema():
    assert relabel_demonyms(aligned([]), {"zh": "LOC"}, {"zh": ["MISC"]}).num_rows == 0
    assert pa.types.is_list(
        relabel_demonyms(aligned([row(**ZH)]), {"zh": "LOC"}, {"zh": ["X"]}).schema.field("entities").type
    )
