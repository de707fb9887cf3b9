"""A trained aligner that is worse than none gets less weight, or is left out."""

import pyarrow as pa
import pytest

from xner_ray import schema
from xner_ray.alignment.decoding import Decoding
from xner_ray.alignment.ensemble import FOLDER
from xner_ray.alignment.examples.example import Example, write_examples
from xner_ray.alignment.examples.held_out import guarded_weight, measure, measure_aligner, read_held_out
from xner_ray.alignment.projector import Projector
from xner_ray.alignment.projector_file import save_projector
from xner_ray.alignment.similarity import Similarity

TEXT = "Anna Berg lebt in Ulm bei Anna Berg"


def examples(number=24):
    """Equal sentences: under random weights the similarity copies names, and an untrained aligner finds nothing."""
    texts = [f"{name} lebt in Ulm" for name in ("Anna", "Berg", "Nord", "Wind")] * (number // 4)
    return [Example(t[:4], t, ((0, 4),), "de", "bootstrap", "PER", t) for t in texts]


def test_examples_come_back_from_their_file(tmp_path):
    write_examples(tmp_path / "held_out.jsonl", examples())
    assert read_held_out(tmp_path / "held_out.jsonl") == examples()


def test_the_aligner_keeps_its_weight_near_the_similarity_and_loses_it_below():
    assert guarded_weight(0.7, 90, 80) == guarded_weight(0.7, 80, 90) == 0.7
    assert guarded_weight(0.7, 70, 90) == pytest.approx(0.85)
    assert guarded_weight(0.7, 60, 90) == guarded_weight(0.7, 0, 100) == 1
    assert guarded_weight(0.7, 0, 20) == 1  # collapsed
    assert guarded_weight(1.0, 0, 100) == guarded_weight(1.0, 100, 0) == 1


def test_a_bad_aligner_is_left_out_and_spans_are_those_of_the_similarity(folder, tiny, tmp_path):
    held_out = tmp_path / "held_out.jsonl"
    write_examples(held_out, examples())
    save_projector(folder, Decoding(), 1, str(tiny))
    similarity = tmp_path / FOLDER
    Similarity.save(str(tiny), 1, similarity)
    decoding = Decoding(0.99, similarity_weight=0.7)
    (row,) = measure_aligner(str(folder), str(held_out), str(similarity), 1, decoding, ["de", "es"], 1).values()
    assert row["examples"] == 24 and row["aligner"] < 60 < 95 < row["similarity"]
    assert row["similarity_weight"] == 1

    entities = [
        [{"start": 0, "end": 9, "type": "PER", "score": 0.9}, {"start": 18, "end": 21, "type": "LOC", "score": 0.9}]
    ]
    pair = pa.table({"source": [TEXT], "target": [TEXT], "entities": pa.array(entities, schema.ENTITIES.type)})

    def project(weights, language="de", weight=0.7):
        save_projector(folder, Decoding(similarity_weight=weight), 1, str(tiny), weights)
        projector = Projector.load(folder, "fp32", 256, "cpu")
        return projector.project(pair, language).to_pylist()

    assert project({"de": 1.0}) == project({}, weight=1.0)
    assert project({"de": 1.0}, "nl") == project({}, "nl") != project({"nl": 1.0}, "nl")


def test_the_aligner_keeps_the_articles_of_gold_spans(folder, tiny, tmp_path):
    held_out, similarity = tmp_path / "held_out.jsonl", tmp_path / FOLDER
    sentence = "die Kommission"
    write_examples(held_out, [Example("ab Ulm", sentence, ((0, 14),), "de", "bootstrap", "ORG", "in ab Ulm")] * 24)
    Similarity.save(str(tiny), 1, similarity)
    decoding = Decoding(0.0, similarity_weight=0.7)  # every word is positive
    scores = measure_aligner(str(folder), str(held_out), str(similarity), 1, decoding, ["de"], 1)
    assert scores["de"]["aligner"] == 100


def test_edges_without_spaces_are_cleaned_for_both(folder, tiny):
    """The projector cleans its spans; the similarity alone does not."""
    text = "读《京》"
    projector = Projector.load(folder, "fp32", 256, "cpu")
    projector.decoding = Decoding(0.0, one_to_one=False)  # every word is positive
    similarity = Similarity.load(str(tiny), 1, "fp32", 256, "cpu")
    scores = measure(
        projector, similarity, [Example("《京》", text, ((2, 3),), "zh", "bootstrap", "ORG", text)] * 24, "zh"
    )
    assert scores["similarity"] == 100


def test_too_few_examples_are_no_measurement(folder, tiny):
    projector = Projector.load(folder, "fp32", 256, "cpu")
    similarity = Similarity.load(str(tiny), 1, "fp32", 256, "cpu")
    assert measure(projector, similarity, examples(16), "de") is None
    assert measure(projector, similarity, examples(), "es") is None
    negatives = [Example("Anna", TEXT, (), "de", "bootstrap")] * 30
    assert measure(projector, similarity, negatives, "de") is None
