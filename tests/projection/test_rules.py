"""The rules: each verdict by hand, then a slow version that reads like the method."""

import itertools

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.harness.projection_rows import aligned, aligned_rows, first_equal, row
from xner_ray import schema
from xner_ray.config import RulesConfig
from xner_ray.projection.filters import judge
from xner_ray.text.conll import Sentence
from xner_ray.text.decontamination import HeldOut, sentence_keys


def slow(row: dict, rules: RulesConfig) -> tuple[str, list[dict]]:
    """Stage 4 of METHOD.md, one row at a time."""
    source, target, entities, projections = (row[k] for k in ("source", "target", "entities", "projections"))
    if row["fault"]:
        return "quarantined", []
    if not entities:
        return "kept_no_entity", []
    queries = {first_equal(source, entities, e) for e in entities}
    bio2_to_spans = {q: {(p["start"], p["end"]) for p in projections if p["entity"] == q} for q in queries}
    name_of = {q: source[entities[q]["start"] : entities[q]["end"]] for q in queries}
    if any(not spans for spans in bio2_to_spans.values()):
        return "unmapped", []
    if any(len({target[a:b] for a, b in spans}) > 1 for spans in bio2_to_spans.values()):
        return "mention_mismatch", []
    labeled = [(q, span) for q, spans in bio2_to_spans.items() for span in spans]
    for (q, (a, b)), (r, (c, d)) in itertools.combinations(labeled, 2):
        if a < d and c < b and ((a, b), entities[q]["type"]) != ((c, d), entities[r]["type"]):
            return "overlap", []
    if len(set(name_of.values())) < len(queries):
        return "overlap", []
    entity_score = {q: min(e["score"] for e in entities if first_equal(source, entities, e) == q) for q in queries}
    if min(entity_score.values()) < rules.min_entity_score:
        return "low_score", []
    if min(p["score"] for p in projections) < rules.min_projection_score:
        return "low_score", []
    best: dict[tuple, float] = {}
    for p in projections:
        key = (p["start"], p["end"], entities[p["entity"]]["type"])
        best[key] = max(best.get(key, 0), min(p["score"], entity_score[p["entity"]]))
    return "kept", [{"start": a, "end": b, "type": t, "score": x} for (a, b, t), x in sorted(best.items())]


@settings(max_examples=100, deadline=None)
@given(st.lists(aligned_rows(), min_size=1, max_size=8), st.sampled_from([0.0, 0.5, 0.9]), st.sampled_from([0.0, 0.9]))
def test_agrees_with_the_slow_version(rows, entity_score, projection_score):
    rules = RulesConfig(min_entity_score=entity_score, min_projection_score=projection_score)
    judged = judge(aligned(rows), rules)
    assert judged.schema == schema.JUDGED
    judged.validate(full=True)
    for row_in, row_out in zip(rows, judged.to_pylist(), strict=True):
        verdict, spans = slow(row_in, rules)
        assert row_out["verdict"] == verdict
        assert [(s["start"], s["end"], s["type"]) for s in row_out["spans"]] == [
            (s["start"], s["end"], s["type"]) for s in spans
        ]
        assert [s["score"] for s in row_out["spans"]] == pytest.approx([s["score"] for s in spans])


@settings(max_examples=20, deadline=None)
@given(st.lists(aligned_rows(), min_size=2, max_size=6), st.data())
def test_slices_and_chunks_change_nothing(rows, data):
    table = aligned(rows)
    whole = judge(table, RulesConfig())
    cut = data.draw(st.integers(0, len(rows)))
    chunked = pa.concat_tables([table.slice(0, cut), table.slice(cut)])
    assert judge(chunked, RulesConfig()).combine_chunks() == whole.combine_chunks()
    assert judge(table.slice(cut), RulesConfig()).to_pylist() == whole.to_pylist()[cut:]


ANNA_BERN = {"source": "Anna in Bern", "target": "Anna in Bern, Bern", "entities": [(0, 4, "PER"), (8, 12, "LOC")]}


@pytest.mark.parametrize(
    ("projections", "verdict"),
    [
        ([(0, 0, 4), (1, 8, 12)], "kept"),
        ([(0, 0, 4), (1, 8, 12), (1, 14, 18)], "kept"),
        ([(0, 0, 4)], "unmapped"),
        ([(0, 0, 4), (1, 8, 12), (1, 8, 13)], "mention_mismatch"),
        ([(0, 0, 9), (1, 8, 12)], "overlap"),
        ([(0, 0, 4), (1, 8, 12, 0.3)], "low_score"),
        ([(1, 8, 12), (1, 14, 17)], "unmapped"),  # the first rule that applies
        ([(0, 0, 10, 0.1), (1, 8, 12), (1, 14, 17)], "mention_mismatch"),
    ],
)
def test_each_verdict(projections, verdict):
    judged = judge(aligned([row(**ANNA_BERN, projections=projections)]), RulesConfig(min_projection_score=0.5))
    assert judged.column("verdict").to_pylist() == [verdict]
    assert bool(judged.column("spans").to_pylist()[0]) == (verdict == "kept")


def test_no_entity():
    judged = judge(aligned([row()]), RulesConfig(min_entity_score=1))
    assert judged.column("verdict").to_pylist() == ["kept_no_entity"]


def test_two_names_for_one_span_are_no_overlap():
    entities = [(0, 5, "PER", 0.9), (6, 18, "PER", 0.7)]
    rows = [row("Trump Donald Trump", "特朗普", entities, [(0, 0, 3), (1, 0, 3)])]
    judged = judge(aligned(rows), RulesConfig()).to_pylist()[0]
    assert judged["verdict"] == "kept" and len(judged["spans"]) == 1
    assert judged["spans"][0]["score"] == pytest.approx(0.9)


def test_one_name_with_two_types_is_an_overlap():
    rows = [row("Bonn Bonn", "Bonn Bonn", [(0, 4, "LOC"), (5, 9, "ORG")], [(0, 0, 4), (1, 5, 9)])]
    assert judge(aligned(rows), RulesConfig()).column("verdict").to_pylist() == ["overlap"]


def test_thresholds_compare_as_the_scores_are_stored():
    rows = [row("Bonn", "Bonn", [(0, 4, "LOC", 0.9)], [(0, 0, 4, 0.9)])]
    assert float(np.float32(0.9)) < 0.9
    at, above = (judge(aligned(rows), RulesConfig(min_entity_score=x, min_projection_score=x)) for x in (0.9, 0.9001))
    assert at.column("verdict").to_pylist() == ["kept"]
    assert above.column("verdict").to_pylist() == ["low_score"]


@pytest.mark.parametrize(
    ("entities", "projections", "message"),
    [
        ([(0, 9, "LOC")], [], "0:9"),
        ([(0, 1, "LOC")], [(0, 0, 9)], "0:9"),
        ([(0, 1, "LOC")], [(0, 1, 1)], "without a character"),
        ([(0, 1, "LOC")], [(1, 0, 1)], "entity 1"),
        ([(0, 1, "LOC")], [(-1, 0, 1)], "entity -1"),
        ([(0, 1, "LOC"), (2, 3, "LOC")], [(1, 0, 1)], "'pair_id': 1"),
    ],
)
def test_broken_input_raises(entities, projections, message):
    with pytest.raises(ValueError, match=message):
        judge(aligned([row(), row("a a", "b", entities, projections)]), RulesConfig())


def test_nullable_columns_as_ray_hands_them_over():
    table = pa.Table.from_pylist([row(**ANNA_BERN, projections=[(0, 0, 4), (1, 8, 12)])])
    table = table.set_column(6, "corpus_score", pa.array([None], pa.float32()))
    assert judge(table, RulesConfig()).column("verdict").to_pylist() == ["kept"]


def test_no_rows():
    judged = judge(schema.ALIGNED.empty_table(), RulesConfig())
    assert judged.schema == schema.JUDGED
    assert judged.num_rows == 0


def test_what_students_are_measured_on_is_contamination():
    gold = [Sentence(["Bonn", "ist", "１", "Stadt", "."], ["B-LOC", "O", "O", "O", "O"], "de")]
    held = HeldOut({"de": sentence_keys(gold)})
    copies = ["Bonn ist 1 Stadt", "BONN IST １ STADT!", "Bonn ist 2 Stadt", "..."]
    rows = [row("Bonn", target, [(0, 4, "LOC")], [(0, 0, 2)]) for target in copies]
    verdicts = judge(aligned(rows), RulesConfig(), held)["verdict"].to_pylist()
    assert verdicts == ["contamination", "contamination", "kept", "kept"]
    chinese = [{**rows[0], "language": "zh"}]
    assert judge(aligned(chinese), RulesConfig(), held)["verdict"].to_pylist() == ["kept"]
