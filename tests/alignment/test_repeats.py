"""A name that the target repeats is labeled everywhere, though its window is one for each mention."""

import numpy as np
import pytest

from tests.alignment.test_ensemble import OfWords, table_of
from xner_ray.alignment.assignment import assign_one_to_one
from xner_ray.alignment.candidates import Candidates
from xner_ray.alignment.decoding import Decoding
from xner_ray.alignment.projector import Projector
from xner_ray.alignment.queries import Queries, query_texts
from xner_ray.alignment.repeats import repeated_spans
from xner_ray.encoders.ragged import Ragged, offsets_of

SOURCE = "Merkel said she and Ann Merkel would"
TARGET = "Merkel sagte, Merkel werde, und Merkels Anna Merkel"


class Mentions(OfWords):
    """`OfWords` with the tokenizer of an aligner."""

    tokenizer = None


def projected(tiny, engine, tokenizer, spans, words_of_mention, target=TARGET, language="de"):
    similarity = Mentions(words_of_mention)
    similarity.tokenizer = tokenizer
    projector = Projector(engine, tokenizer, Decoding(similarity_weight=1.0), similarity)
    rows = projector.project(table_of(SOURCE, target, spans), language).to_pylist()
    return [(p["entity"], p["start"], p["end"]) for p in rows[0]]


def test_a_repeated_name_has_all_its_spans(tiny, engine, tokenizer):
    found = projected(tiny, engine, tokenizer, [(0, 6, "PER")], [[0]])
    assert found == [(0, 0, 6), (0, 14, 20), (0, 45, 51)]


def test_an_occurrence_inside_the_span_of_another_entity_is_none(tiny, engine, tokenizer):
    found = projected(tiny, engine, tokenizer, [(0, 6, "PER"), (20, 30, "PER")], [[0], [8, 9]])
    assert found == [(0, 0, 6), (0, 14, 20), (1, 40, 51)]


def test_a_mention_without_a_window_of_its_own_gets_the_span_of_the_same_text(tiny, engine, tokenizer):
    found = projected(tiny, engine, tokenizer, [(0, 6, "PER"), (24, 30, "PER")], [[3], []], "Merkel und nun Merkel")
    assert found == [(0, 0, 6), (0, 15, 21)]


def repeats(target, language, chosen, probabilities=None):
    table = table_of(SOURCE, target, [(0, 6, "PER")])
    queries = Queries.from_table(table)
    texts = query_texts(table, queries, language)
    start = target.index(chosen)
    candidates = Candidates.create(np.array([0]), np.array([start]), np.array([start + len(chosen)]), 0.75)
    if probabilities is not None:
        probabilities = Ragged(np.array(probabilities, np.float32), offsets_of(np.array([len(probabilities)])))
    found = repeated_spans(candidates, texts, probabilities)
    assert (found.scores == 0.75).all()
    chosen = assign_one_to_one(found, queries, texts, assigned=candidates)
    return found, chosen.starts[1:].tolist()


def test_the_aligner_must_believe_in_an_occurrence():
    found, starts = repeats("Ann Berg, Ann Berg, Ann Berg", "de", "Ann Berg", [1, 1, 0, 0.9, 0.2, 0, 0.4, 0.5])
    assert starts == [10] and found.aligner_scores == pytest.approx([0.55]) and np.isnan(found.similarity_scores).all()


@pytest.mark.parametrize(
    ("target", "chosen", "expected"),
    [
        ("在中国和中国银行和中国", "中国", [9]),  # an organization
        ("Ma去Mark家和Ma家", "Ma", [9]),  # part of a Latin word
        ("中美在其中", "中", []),  # one character, without the aligner
        ("哈哈和哈哈哈", "哈哈", [3]),  # two that overlap
    ],
)
def test_occurrences_without_spaces_are_whole_names(target, chosen, expected):
    assert repeats(target, "zh", chosen)[1] == expected


def test_the_aligner_may_find_a_name_of_one_character_again():
    assert repeats("中美在其中", "zh", "中", [1, 0, 0, 0, 0.9])[1] == [4]


def test_no_candidates_have_no_repeats():
    table = table_of(SOURCE, TARGET, [(0, 6, "PER")])
    texts = query_texts(table, Queries.from_table(table), "de")
    assert not len(repeated_spans(Candidates.empty(), texts))
