"""Extension of truncated spans by the similarity's spans, and the scores of both models in a projection."""

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from tests.alignment.test_similarity import matches as token_matches
from xner_ray import schema
from xner_ray.alignment.candidates import Candidates
from xner_ray.alignment.decoding import Decoding
from xner_ray.alignment.ensemble import extend_truncated_spans, similarity_candidates
from xner_ray.alignment.projector import Projector
from xner_ray.alignment.projector_file import save_projector
from xner_ray.alignment.queries import Queries, QueryTexts, query_texts
from xner_ray.ner.word_spans import WordSpans

NAN = float("nan")


def of_aligner(rows):
    """Candidates of (query, start, end[, score])."""
    query_ids, starts, ends = np.array([row[:3] for row in rows], np.int64).reshape(-1, 3).T
    scores = np.array([row[3] if len(row) > 3 else 0.9 for row in rows], np.float32)
    return Candidates.create(query_ids, starts, ends, scores, aligner_scores=scores)


def of_similarity(rows, cosine=0.5):
    """Candidates of (query, start, end)."""
    query_ids, starts, ends = np.array(rows, np.int64).reshape(-1, 3).T
    return Candidates.create(query_ids, starts, ends, 0.5, similarity_scores=np.array(cosine))


def extend(candidates, similar, text="A" * 40):
    """All queries have one target."""
    words = WordSpans.from_texts([text], "de")
    texts = QueryTexts([""], [text], np.zeros(10, np.int64), words, None, "de")
    return extend_truncated_spans(candidates, similar, texts)


def spans(candidates):
    return list(zip(*(x.tolist() for x in (candidates.query_ids, candidates.starts, candidates.ends)), strict=True))


def test_a_span_inside_a_span_of_the_similarity_is_extended():
    aligned = of_aligner([(0, 4, 8), (0, 20, 24), (1, 4, 8), (2, 0, 9), (3, 2, 5)])
    similar = of_similarity([(0, 0, 12), (1, 4, 6), (2, 4, 12), (4, 2, 5)], [0.6, 0.7, 0.8, 0.9])
    extended = extend(aligned, similar)
    # Only contained spans are extended. Overlapping spans get the similarity's score. Spans of another query are ignored.
    assert spans(extended) == [(0, 0, 12), (0, 20, 24), (1, 4, 8), (2, 0, 9), (3, 2, 5)]
    np.testing.assert_array_equal(extended.similarity_scores, np.array([0.6, NAN, 0.7, 0.8, NAN], np.float32))
    np.testing.assert_array_equal(extended.aligner_scores, aligned.aligner_scores)


def test_two_parts_of_one_span_become_one_candidate_with_the_better_score():
    extended = extend(of_aligner([(0, 0, 3, 0.6), (0, 8, 11, 0.8)]), of_similarity([(0, 0, 11)], [0.4]))
    assert spans(extended) == [(0, 0, 11)] and extended.scores.tolist() == [np.float32(0.8)]


def test_lowercase_words_at_an_edge_are_not_added():
    text = "von der Union und Anna Berg (CEN) aus"
    aligned = of_aligner([(0, 8, 13), (1, 18, 22), (2, 18, 22)])
    similar = of_similarity([(0, 0, 17), (1, 4, 33), (2, 18, 37)])
    extended = [text[a:b] for _, a, b in spans(extend(aligned, similar, text))]
    assert extended == ["Union", "Union und Anna Berg (CEN)", "Anna Berg (CEN)"]


def test_two_mentions_with_a_word_between_them_are_two_spans():
    source, target = "Vienna and Vienna's mayor", "Wien und Wiens Bürgermeister"
    mentions = [{"start": a, "end": a + 6, "type": "LOC", "score": 1.0} for a in (0, 11)]
    table = pa.table({"source": [source], "target": [target], "entities": pa.array([mentions], schema.ENTITIES.type)})
    queries = Queries.from_table(table)
    matches = token_matches(source, target, [(0, 0), (2, 2)])

    class TwoWords:
        """A similarity that matches Wien and Wiens."""

        def match(self, sources, targets, source_tokens, target_tokens):
            return matches

    texts = query_texts(table, queries, "de")
    found = similarity_candidates(TwoWords(), queries, texts, Decoding(similarity_fallback_score=0.5))
    assert [target[a:b] for _, a, b in spans(found)] == ["Wien", "Wiens"]


def test_nothing_changes_without_spans_of_the_similarity():
    assert spans(extend(of_aligner([(0, 4, 8)]), of_similarity([]))) == [(0, 4, 8)]
    assert spans(extend(of_aligner([]), of_similarity([(0, 4, 8)]))) == []


edges_of_a_query = st.lists(st.integers(0, 30), min_size=2, max_size=8, unique=True).map(sorted)


@given(st.lists(edges_of_a_query, min_size=1, max_size=4), st.lists(edges_of_a_query, min_size=1, max_size=4))
def test_a_span_is_kept_or_becomes_the_similarity_span_that_contains_it(aligned_edges, similar_edges):
    def rows(edges):
        return [(q, a, b) for q, cuts in enumerate(edges) for a, b in zip(cuts[::2], cuts[1::2], strict=False)]

    aligned, similar = rows(aligned_edges), rows(similar_edges)
    extended = spans(extend(of_aligner(aligned), of_similarity(similar)))
    assert len(set(extended)) == len(extended)
    for span in extended:
        assert span in aligned or span in similar
    for query, start, end in aligned:
        containing = [s for s in similar if s[0] == query and s[1] <= start and end <= s[2]]
        assert (containing[0] if containing else (query, start, end)) in extended


def test_a_projection_has_the_scores_of_both_models(folder, tiny):
    """Equal tokens of equal sentences have equal states under random weights, so the similarity copies names."""
    text = "Anna Berg lebt in Ulm"
    entities = [
        [{"start": 0, "end": 9, "type": "PER", "score": 0.9}, {"start": 18, "end": 21, "type": "LOC", "score": 0.9}]
    ]
    pair = pa.table({"source": [text], "target": [text], "entities": pa.array(entities, schema.ENTITIES.type)})

    def project(threshold, fallback_score=0.7):
        decoding = Decoding(threshold, 0, similarity_fallback_score=fallback_score)
        save_projector(folder, decoding, 1, str(tiny))
        (row,) = Projector.load(folder, "fp32", 256, "cpu").project(pair, "de").to_pylist()
        return row

    fallback = project(1.0)
    assert [(p["start"], p["end"], p["score"]) for p in fallback] == [
        (0, 9, np.float32(0.7)), (18, 21, np.float32(0.7)),
    ]  # fmt: skip
    assert all(p["aligner"] is None and p["similarity"] > 0.99 for p in fallback)
    aligner_alone = project(0.0, fallback_score=0.0)
    assert aligner_alone and all(p["aligner"] == p["score"] and p["similarity"] is None for p in aligner_alone)
    assert any(p["similarity"] is not None for p in project(0.0))
