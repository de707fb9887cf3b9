"""Tokens and tags of filtered rows: batches against single sentences, and quotation marks by language."""

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.harness.projection_rows import aligned, aligned_rows
from xner_ray import schema
from xner_ray.config import RulesConfig
from xner_ray.projection.filters import assign_verdicts
from xner_ray.projection.tokenize import count_unlabeled_spans, tokenize_table
from xner_ray.text.tags import bio2_to_spans, spans_to_bio2
from xner_ray.text.token_spans import char_to_token_spans
from xner_ray.text.words import tokenize_words


@settings(max_examples=60, deadline=None)
@given(st.lists(aligned_rows(), min_size=1, max_size=6), st.data())
def test_batches_agree_with_single_sentences(rows, data):
    filtered = assign_verdicts(aligned(rows), RulesConfig())
    at = data.draw(st.integers(0, len(rows)))
    tokenized = tokenize_table(pa.concat_tables([filtered.slice(0, at), filtered.slice(at)]))
    assert tokenized.schema == schema.EXPORTED
    tokenized.validate(full=True)
    num_unlabeled = 0
    for row in tokenized.to_pylist():
        if row["verdict"] not in ("kept", "kept_no_entity"):
            assert row["tokens"] == row["ner_tags"] == []
            continue
        words = tokenize_words(row["target"], row["language"])
        assert row["tokens"] == [row["target"][a:b] for a, b in words]
        spans = [(s["start"], s["end"], s["type"]) for s in row["spans"]]
        assert row["ner_tags"] == spans_to_bio2(char_to_token_spans(row["target"], spans, words), len(words))
        num_unlabeled += len(spans) - len(bio2_to_spans(row["ner_tags"]))
    assert count_unlabeled_spans(tokenized) == num_unlabeled


TARGET = '“El País” y \'Marca\' dicen "Ana"Eva", no "Luis. «Él»'
NAMES = ["El País", "Marca", "Ana", "Eva", "Luis", "Él"]


def test_quotation_marks_are_part_of_the_entity_in_the_given_languages():
    source = " ".join(f"N{i}" for i in range(len(NAMES)))
    entities = [{"start": 3 * i, "end": 3 * i + 2, "type": "ORG", "score": 0.9} for i in range(len(NAMES))]
    starts = [TARGET.index(name) for name in NAMES]
    projections = [
        {"entity": i, "start": start, "end": start + len(name), "score": 0.8}
        for i, (start, name) in enumerate(zip(starts, NAMES, strict=True))
    ]
    row = {"corpus": "c", "domain": "d", "pair_id": 1, "source": source, "target": TARGET, "corpus_score": None}
    row |= {"entities": entities, "projections": projections, "fault": None}
    rows = [row | {"language": x} for x in ("es", "nl", "es")]
    filtered = assign_verdicts(pa.Table.from_pylist(rows, schema=schema.ALIGNED), RulesConfig())

    def names(quotes_inside_entity=()):
        return [
            ["".join(r["tokens"][a:b]) for a, b, _ in bio2_to_spans(r["ner_tags"])]
            for r in tokenize_table(filtered, quotes_inside_entity).to_pylist()
        ]

    # Ana and Eva would share a quotation mark, and Luis has none after it.
    with_quotes = ["“ElPaís”", "'Marca'", "Ana", "Eva", "Luis", "«Él»"]
    without_quotes = [name.replace(" ", "") for name in NAMES]
    assert names(["es"]) == [with_quotes, without_quotes, with_quotes]
    assert names() == [without_quotes] * 3
