"""Score maps: fitted without gold, strictly rising, stored in projector.json, and without influence on spans."""

import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xner_ray import schema
from xner_ray.alignment.decoding import Decoding
from xner_ray.alignment.projector import Projector
from xner_ray.alignment.projector_file import FILE, add_score_maps, read_projector, save_projector
from xner_ray.alignment.score_map import ALL, ScoreMap, fit_score_map, fit_score_maps
from xner_ray.errors import UserError
from xner_ray.evaluation.calibration import ece, reliability
from xner_ray.pipeline.stages.aligner_scores import MAX_PAIRS, choose_pairs, fit_scores, write_pairs

TEXT = "Anna Berg lebt in Ulm bei Anna Berg"
SPANS = ((0, 9, "PER"), (18, 21, "LOC"), (26, 35, "PER"))


def world(accuracy, spread=0.0, number=4000, seed=0):
    """Two aligners that err independently, each right with a probability around `accuracy`; a low score, and what is right."""
    rng = np.random.default_rng(seed)
    odds = np.log(accuracy / (1 - accuracy)) + spread * rng.standard_normal(number)
    p = 1 / (1 + np.exp(-odds))
    right = rng.random((3, number)) < p
    return 1 / (1 + np.exp(-(odds - 1.5))), right[0] & right[1], right[2]


@pytest.mark.parametrize("accuracy", [0.6, 0.75, 0.9, 0.97])
@pytest.mark.parametrize("spread", [0.0, 0.4])
def test_the_score_is_the_fraction_that_is_right(accuracy, spread):
    scores, agrees, right = world(accuracy, spread)
    calibrated = fit_score_map(scores, agrees)(scores)
    assert ece(reliability(scores, right)) > 10 or accuracy > 0.95
    assert ece(reliability(calibrated, right)) < 5
    assert abs(calibrated.mean() - right.mean()) < 0.04


@settings(deadline=None, max_examples=40)
@given(
    st.floats(0.3, 1),
    st.integers(100, 400),
    st.integers(0, 9),
    st.lists(st.floats(0, 1, width=32), min_size=2, max_size=30),
)
def test_a_map_rises_and_stays_within_0_and_1(agreement, number, seed, points):
    rng = np.random.default_rng(seed)
    scores, agrees = rng.random(number).astype(np.float32), rng.random(number) < agreement
    score_map = fit_score_map(scores, agrees)
    if score_map is None:
        assert agrees.mean() < 0.25
        return
    mapped = score_map(np.sort(points))
    assert mapped.dtype == np.float32 and (np.diff(mapped) >= 0).all() and mapped.min() >= 0 and mapped.max() <= 1


@pytest.mark.parametrize("agrees", [np.ones(200, bool), np.arange(200) >= 100])
def test_separable_names_have_a_finite_map(agrees):
    scores = np.linspace(0.2, 1, 200)
    mapped = fit_score_map(scores, agrees)(scores)
    assert np.isfinite(mapped).all() and abs(mapped.mean() - np.sqrt(agrees.mean())) < 0.02


def test_few_names_and_a_collapsed_aligner_give_no_map():
    scores, agrees, _ = world(0.9)
    assert fit_score_map(scores[:99], agrees[:99]) is None
    assert fit_score_map(scores, np.arange(len(scores)) % 10 == 0) is None
    maps = fit_score_maps(
        {
            "de": (scores, agrees),
            "nl": (scores[:50], agrees[:50]),
            "zh": (scores, ~np.ones(4000, bool)),
            "ru": (scores[:0],) * 2,
        }
    )
    assert maps.keys() == {"de", ALL}  # nl is a part of ALL, zh is not
    assert maps[ALL](scores).mean() > 0.8
    assert fit_score_maps({"zh": (scores, np.zeros(4000, bool))}) == fit_score_maps({}) == {}


def project(folder, language="de"):
    entities = [[{"start": a, "end": b, "type": t, "score": 0.9} for a, b, t in SPANS]]
    pair = pa.table({"source": [TEXT], "target": [TEXT], "entities": pa.array(entities, schema.ENTITIES.type)})
    return Projector.load(folder, "fp32", 256, "cpu").project(pair, language).to_pylist()[0]


@pytest.fixture
def both(folder, tiny):
    """A projector of both models."""
    save_projector(folder, Decoding(0.3, similarity_weight=0.7), 1, str(tiny))
    return folder


def test_a_stored_map_changes_scores_and_no_span(both):
    raw = project(both)
    maps = {"de": ScoreMap(-0.5, 0.75), ALL: ScoreMap(0.5, 1.0)}
    add_score_maps(both, maps)
    assert read_projector(both).score_maps == maps and raw

    def spans(rows):
        return [{k: v for k, v in p.items() if k != "score"} for p in rows]

    for language, score_map in (("de", maps["de"]), ("nl", maps[ALL])):
        found = project(both, language)
        assert spans(found) == spans(raw)
        assert [p["score"] for p in found] == pytest.approx(score_map(np.array([p["score"] for p in raw])))


def test_exact_matches_and_a_projector_of_one_model_keep_their_scores(both, tiny):
    maps = {ALL: ScoreMap(-3.0, 0.5)}
    for decoding in (
        Decoding(0.3, similarity_weight=0.7, exact_match_score=0.99),
        Decoding(similarity_weight=1.0),
        Decoding(0.3),
    ):
        save_projector(both, decoding, 1, str(tiny))
        raw = project(both)
        add_score_maps(both, maps)
        assert project(both) == raw
    save_projector(both, Decoding(similarity_weight=0.7), 1, str(tiny), {"de": 1.0})  # the aligner was left out
    raw = project(both)
    add_score_maps(both, maps)
    assert project(both) == raw


def test_a_file_without_maps_is_read_and_a_damaged_map_is_an_error(both):
    file = both / FILE
    content = json.loads(file.read_text())
    assert "score_maps" not in content and read_projector(both).score_maps == {}
    for damaged in (
        {"de": {"bias": "x", "slope": 1}},
        {"de": {"bias": 0, "slope": -1}},
        {"de": {"bias": 0}},
        {"de": 3},
        [1],
        None,
    ):
        file.write_text(json.dumps({**content, "score_maps": damaged}))
        with pytest.raises(UserError) as e:
            read_projector(both)
        assert (e.value.file == file and "xner aligner" in e.value.remedy) or "trained aligner" in e.value.remedy


def test_agreement_compares_both_models_on_each_mention(both):
    rows = [[{"start": a, "end": b, "type": t, "score": 0.9} for a, b, t in SPANS], []]
    pairs = pa.table({"source": [TEXT, "x"], "target": [TEXT, "y"], "entities": pa.array(rows, schema.ENTITIES.type)})
    projector = Projector.load(both, "fp32", 256, "cpu")
    scores, agrees = projector.agreement(pairs, "de")
    assert len(scores) == len(agrees) == 3 and (scores >= 0.2).all()
    projector.similarity_weights = {"de": 1.0}
    assert len(projector.agreement(pairs, "de")[0]) == 0
    chosen = choose_pairs(pa.concat_tables([pairs] * 300), "de")
    assert len(chosen) == MAX_PAIRS and set(chosen["language"].to_pylist()) == {"de"}
    assert set(chosen["source"].to_pylist()) == {TEXT}


def test_the_stage_fits_each_language_and_stores_the_maps(both, tiny, tmp_path):
    """A target of one word: both models can choose no other span."""
    entities = pa.array([[{"start": 0, "end": 4, "type": "PER", "score": 0.9}]] * 120, schema.ENTITIES.type)
    pairs = pa.table({"source": ["Anna Ulm"] * 120, "target": ["Annaberg"] * 120, "entities": entities})
    tables = [choose_pairs(pairs, "de"), choose_pairs(pairs.slice(0, 30), "nl"), choose_pairs(pairs.slice(0, 0), "es")]
    write_pairs(tables, tmp_path / "pairs.parquet")
    report = fit_scores(str(both), str(tmp_path / "pairs.parquet"), 1)
    assert {x: (row["names"], row["agreement"], row["map"]) for x, row in report.items()} == {
        "de": (120, 1.0, True),
        "nl": (30, 1.0, False),
    }
    assert read_projector(both).score_maps.keys() == {"de", ALL}
