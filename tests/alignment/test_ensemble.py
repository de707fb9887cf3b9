"""Similarity and aligner together: one window for each mention, and the scores of both models in a projection."""

import numpy as np
import pyarrow as pa
import pytest

from xner_ray import schema
from xner_ray.alignment.decoding import Decoding
from xner_ray.alignment.ensemble import joint_candidates
from xner_ray.alignment.projector import Projector
from xner_ray.alignment.projector_file import save_projector
from xner_ray.alignment.queries import Queries, query_texts
from xner_ray.alignment.similarity import Similarity
from xner_ray.alignment.span_search import WordMass
from xner_ray.encoders.ragged import Ragged, offsets_of
from xner_ray.text.words import tokenize_words

TEXT = "Anna Berg lebt in Ulm bei Anna Berg"
SPANS = ((0, 9, "PER"), (18, 21, "LOC"), (26, 35, "PER"))


def table_of(source, target, spans):
    entities = [[{"start": a, "end": b, "type": t, "score": 0.9} for a, b, t in spans]]
    return pa.table({"source": [source], "target": [target], "entities": pa.array(entities, schema.ENTITIES.type)})


class OfWords:
    """A similarity that aligns mention i with given target words, surely."""

    def __init__(self, words_of_mention):
        self.words_of_mention = words_of_mention

    def align_mentions(self, sources, targets, words, spans, source_tokens, target_tokens):
        lengths = np.diff(words.offsets)[spans.rows]
        offsets = offsets_of(lengths)
        inside = np.zeros(int(offsets[-1]), np.float32)
        for offset, found in zip(offsets, self.words_of_mention, strict=False):
            inside[[offset + i for i in found]] = 1
        recall = inside / np.maximum(1, np.repeat([len(x) for x in self.words_of_mention], lengths))
        return WordMass(Ragged(recall, offsets), Ragged(inside, offsets))


def found_texts(target, spans, words_of_mention, probabilities=None, weight=0.5, source="x" * 40, language="de"):
    table = table_of(source, target, spans)
    queries = Queries.from_table(table)
    texts = query_texts(table, queries, language)
    if probabilities is not None:
        lengths = np.array([len(row) for row in probabilities])
        probabilities = Ragged(np.concatenate(probabilities).astype(np.float32), offsets_of(lengths))
    found = joint_candidates(OfWords(words_of_mention), queries, texts, probabilities, weight)
    return [(q, target[a:b]) for q, a, b in zip(found.query_ids, found.starts, found.ends, strict=True)], found


def test_the_aligner_decides_alone_where_the_similarity_says_nothing():
    spans, texts = [(0, 2, "PER")], "Frau Merkel sagte nein"
    found, scores = found_texts(texts, spans, [[]], [np.array([0.1, 0.9, 0.1, 0.1])], weight=0.7)
    assert found == [(0, "Merkel")]
    assert scores.scores[0] > 0.8 and np.isnan(scores.similarity_scores[0])
    assert found_texts("Nein", spans, [[]], [np.array([0.4])], weight=0.7)[0] == []
    assert found_texts("Nein", spans, [[]])[0] == []


def test_each_mention_of_a_repeated_name_has_its_own_span():
    target = "Wien und Wiens Bürgermeister"
    texts, _ = found_texts(
        target, [(0, 6, "LOC"), (11, 17, "LOC")], [[0], [2]], source="Vienna and Vienna's mayor is here"
    )
    assert texts == [(0, "Wien"), (0, "Wiens")]
    # The aligner gives both mentions the same probabilities, and the similarity decides which is which.
    texts, _ = found_texts(
        target,
        [(0, 6, "LOC"), (11, 17, "LOC")],
        [[0], [2]],
        [np.array([0.9, 0, 0.9, 0])],
        source="Vienna and Vienna's mayor is here",
    )
    assert texts == [(0, "Wien"), (0, "Wiens")]


def test_a_word_that_one_model_misses_is_in_the_span_if_the_other_is_sure():
    texts, found = found_texts("die Europäische Union hier", [(0, 2, "ORG")], [[2]], [np.array([0, 1, 1, 0])])
    assert texts == [(0, "Europäische Union")]
    assert found.aligner_scores == pytest.approx([1.0]) and 0 < found.similarity_scores[0] < 1


def test_scores_are_higher_where_both_agree():
    def score(probabilities):
        return found_texts("in Rom hier", [(0, 2, "LOC")], [[1]], [np.array(probabilities)])[1].scores[0]

    assert score([0, 1, 0]) > score([0, 0.5, 0]) > score([0, 0, 0])


def test_a_name_that_nothing_translates_has_no_candidate():
    assert found_texts("hier", [(0, 2, "LOC")], [[]])[0] == []


@pytest.mark.parametrize(
    ("language", "before", "name", "after"),
    [
        ("zh", "他毕业于", "Massachusetts Institute of Technology", "大学。"),
        ("zh", "在", "全国人民代表大会常务委员会香港特别行政区基本法委员会办公室", "开会"),
        ("th", "ที่", "กรุงเทพมหานครอมรรัตนโกสินทร์มหินทรา", "นะ"),
    ],
)
def test_a_long_name_in_a_language_without_spaces_is_whole(language, before, name, after):
    text = before + name + after
    inside = [i for i, (a, _) in enumerate(tokenize_words(text, language)) if 0 <= a - len(before) < len(name)]
    assert len(inside) > 24
    assert found_texts(text, [(0, 2, "ORG")], [inside], language=language)[0] == [(0, name)]


@pytest.mark.parametrize(("language", "text", "limit"), [("de", "wort " * 120, 24), ("zh", "京" * 120, 96)])
def test_a_name_beyond_the_limit_is_left_out_and_not_cut(language, text, limit):
    def found(length):
        return len(found_texts(text, [(0, 2, "ORG")], [range(5, 5 + length)], language=language)[0])

    assert (found(limit), found(limit + 1), found(limit + 10)) == (1, 0, 0)


def test_the_weight_1_leaves_the_aligner_out(folder, tiny):
    pair = table_of(TEXT, TEXT, SPANS)

    def project(weight):
        save_projector(folder, Decoding(similarity_weight=weight), 1, str(tiny))
        projector = Projector.load(folder, "fp32", 256, "cpu")
        return projector.project(pair, "de").to_pylist()[0], projector

    alone, projector = project(1.0)
    assert [p["aligner"] for p in alone] == [None] * 3 and projector.stats.rows == 0
    # Under random weights, equal tokens of equal sentences have equal states, so the similarity copies names.
    assert [(p["entity"], p["start"], p["end"]) for p in alone] == [(0, 0, 9), (0, 26, 35), (1, 18, 21)]
    assert all(p["score"] == p["similarity"] > 0.9 for p in alone)
    mixed, _ = project(0.7)
    assert all(p["aligner"] is not None and p["similarity"] > 0.9 for p in mixed)
    aligner_alone, projector = project(0.0)
    assert projector.similarity is None
    assert all(p["aligner"] == p["score"] and p["similarity"] is None for p in aligner_alone)


def test_results_are_equal_for_all_batch_sizes(tiny):
    sources = [TEXT, "京 ab Ulm", "", "Anna Berg " * 30]
    entities = [list(SPANS), [(5, 8, "LOC")], [], [(0, 9, "PER")]]
    found = [
        Similarity.load(str(tiny), 1, "fp32", max_batch_tokens, "cpu").project_entities(
            sources, entities, sources, "de"
        )
        for max_batch_tokens in (64, 128, 4096)
    ]
    assert found[0] == found[1] == found[2] and [len(row) for row in found[0]] == [3, 1, 0, 1]
