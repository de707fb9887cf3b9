"""Filters: a slow version that reads like the method on random rows, then each verdict by hand."""

import itertools

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.harness.projection_rows import aligned, aligned_rows, first_equal, row
from xner_ray import schema
from xner_ray.config import RulesConfig
from xner_ray.projection.filters import assign_verdicts
from xner_ray.text.conll import Sentence
from xner_ray.text.decontamination import EvaluationSentences, sentence_keys


def slow_verdict(row: dict, rules: RulesConfig) -> tuple[str, list[dict]]:
    """Step 6 of docs/method.md, one row at a time."""
    source, target, entities, projections = (row[k] for k in ("source", "target", "entities", "projections"))
    if row["fault"]:
        return "quarantined", []
    if not entities:
        return "kept_no_entity", []
    queries = {first_equal(source, entities, e) for e in entities}
    spans_of = {q: {(p["start"], p["end"]) for p in projections if p["entity"] == q} for q in queries}
    name_of = {q: source[entities[q]["start"] : entities[q]["end"]] for q in queries}
    if any(not spans for spans in spans_of.values()):
        return "unmapped", []
    if any(len({target[a:b] for a, b in spans}) > 1 for spans in spans_of.values()):
        return "mention_mismatch", []
    labeled = [(q, span) for q, spans in spans_of.items() for span in spans]
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
    filtered = assign_verdicts(aligned(rows), rules)
    assert filtered.schema == schema.FILTERED
    filtered.validate(full=True)
    for row_in, row_out in zip(rows, filtered.to_pylist(), strict=True):
        verdict, spans = slow_verdict(row_in, rules)
        assert row_out["verdict"] == verdict
        assert [(s["start"], s["end"], s["type"]) for s in row_out["spans"]] == [
            (s["start"], s["end"], s["type"]) for s in spans
        ]
        assert [s["score"] for s in row_out["spans"]] == pytest.approx([s["score"] for s in spans])


@settings(max_examples=20, deadline=None)
@given(st.lists(aligned_rows(), min_size=2, max_size=6), st.data())
def test_slices_and_chunks_do_not_change_verdicts(rows, data):
    table = aligned(rows)
    whole = assign_verdicts(table, RulesConfig())
    cut = data.draw(st.integers(0, len(rows)))
    chunked = pa.concat_tables([table.slice(0, cut), table.slice(cut)])
    assert assign_verdicts(chunked, RulesConfig()).combine_chunks() == whole.combine_chunks()
    assert assign_verdicts(table.slice(cut), RulesConfig()).to_pylist() == whole.to_pylist()[cut:]


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
def test_each_verdict_of_a_projection(projections, verdict):
    filtered = assign_verdicts(
        aligned([row(**ANNA_BERN, projections=projections)]), RulesConfig(min_projection_score=0.5)
    )
    assert filtered.column("verdict").to_pylist() == [verdict]
    assert bool(filtered.column("spans").to_pylist()[0]) == (verdict == "kept")


def test_a_row_without_entity_is_kept_no_entity():
    filtered = assign_verdicts(aligned([row()]), RulesConfig(min_entity_score=1))
    assert filtered.column("verdict").to_pylist() == ["kept_no_entity"]


def test_two_names_with_one_span_of_one_type_are_no_overlap():
    entities = [(0, 5, "PER", 0.9), (6, 18, "PER", 0.7)]
    rows = [row("Trump Donald Trump", "特朗普", entities, [(0, 0, 3), (1, 0, 3)])]
    filtered = assign_verdicts(aligned(rows), RulesConfig()).to_pylist()[0]
    assert filtered["verdict"] == "kept" and len(filtered["spans"]) == 1
    assert filtered["spans"][0]["score"] == pytest.approx(0.9)


def test_one_name_with_two_types_is_an_overlap():
    rows = [row("Bonn Bonn", "Bonn Bonn", [(0, 4, "LOC"), (5, 9, "ORG")], [(0, 0, 4), (1, 5, 9)])]
    assert assign_verdicts(aligned(rows), RulesConfig()).column("verdict").to_pylist() == ["overlap"]


def test_thresholds_are_compared_as_float32():
    rows = [row("Bonn", "Bonn", [(0, 4, "LOC", 0.9)], [(0, 0, 4, 0.9)])]
    assert float(np.float32(0.9)) < 0.9
    at, above = (
        assign_verdicts(aligned(rows), RulesConfig(min_entity_score=x, min_projection_score=x)) for x in (0.9, 0.9001)
    )
    assert at.column("verdict").to_pylist() == ["kept"]
    assert above.column("verdict").to_pylist() == ["low_score"]


@pytest.mark.parametrize(
    ("entities", "projections", "message"),
    [
        ([(0, 9, "LOC")], [], "0:9"),
        ([(0, 1, "LOC")], [(0, 0, 9)], "0:9"),
        ([(0, 1, "LOC")], [(0, 1, 1)], "has an empty span"),
        ([(0, 1, "LOC")], [(1, 0, 1)], "entity 1"),
        ([(0, 1, "LOC")], [(-1, 0, 1)], "entity -1"),
        ([(0, 1, "LOC"), (2, 3, "LOC")], [(1, 0, 1)], "'pair_id': 1"),
    ],
)
def test_a_span_outside_its_text_or_a_wrong_entity_is_an_error(entities, projections, message):
    with pytest.raises(ValueError, match=message):
        assign_verdicts(aligned([row(), row("a a", "b", entities, projections)]), RulesConfig())


def test_nullable_columns_of_ray_are_accepted():
    table = pa.Table.from_pylist([row(**ANNA_BERN, projections=[(0, 0, 4), (1, 8, 12)])])
    table = table.set_column(6, "corpus_score", pa.array([None], pa.float32()))
    assert assign_verdicts(table, RulesConfig()).column("verdict").to_pylist() == ["kept"]


def test_an_empty_table_has_the_schema():
    filtered = assign_verdicts(schema.ALIGNED.empty_table(), RulesConfig())
    assert filtered.schema == schema.FILTERED
    assert filtered.num_rows == 0


def test_evaluation_sentences_are_contamination():
    gold = [Sentence(["Bonn", "ist", "１", "Stadt", "."], ["B-LOC", "O", "O", "O", "O"], "de")]
    evaluation_sentences = EvaluationSentences({"de": sentence_keys(gold)})
    copies = ["Bonn ist 1 Stadt", "BONN IST １ STADT!", "Bonn ist 2 Stadt", "..."]
    rows = [row("Bonn", target, [(0, 4, "LOC")], [(0, 0, 2)]) for target in copies]
    verdicts = assign_verdicts(aligned(rows), RulesConfig(), evaluation_sentences)["verdict"].to_pylist()
    assert verdicts == ["contamination", "contamination", "kept", "kept"]
    chinese = [{**rows[0], "language": "zh"}]
    assert assign_verdicts(aligned(chinese), RulesConfig(), evaluation_sentences)["verdict"].to_pylist() == ["kept"]
