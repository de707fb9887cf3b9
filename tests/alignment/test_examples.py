import json
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xner_ray import schema
from xner_ray.alignment.examples.bootstrap import bidirectional_agreement, equal_spans
from xner_ray.alignment.examples.builder import _short_pairs, build_examples
from xner_ray.alignment.examples.combine import draw_negatives, merge_examples, with_kinds
from xner_ray.alignment.examples.encode_examples import encode_examples
from xner_ray.alignment.examples.example import Example, write_examples
from xner_ray.alignment.examples.inner_names import outermost
from xner_ray.alignment.similarity import Similarity
from xner_ray.config import AlignerConfig
from xner_ray.training.losses import IGNORE_INDEX

NAMES = ["Anna", "Berg", "Ulm", "Rom", "Lund", "Kiew", "Oslo", "Genf"]


@pytest.fixture(scope="module")
def similarity(tiny):
    return Similarity.load(str(tiny), layer=1, precision="fp32")


@pytest.fixture(scope="module")
def table():
    """Pairs of equal sides, so that random weights align them well."""
    sources, entities = [], []
    for i in range(60):
        a, b = NAMES[i % 8], NAMES[(i // 8 + i + 1) % 8]
        sources.append(f"{a} reads red books in Germany with {b} today")
        entities.append([(0, len(a), "PER"), (sources[-1].index(" with ") + 6, sources[-1].index(" today"), "PER")])
    lists = [[{"start": a, "end": b, "type": t, "score": 0.9} for a, b, t in row] for row in entities]
    return pa.table({"source": sources, "target": sources, "entities": pa.array(lists, schema.ENTITIES.type)})


def test_bootstrapped_examples_have_the_spans_of_their_name(similarity, table):
    config = AlignerConfig(num_examples=80, example_sources={"bootstrap": 1.0})
    examples, report = build_examples(config, "de", table, similarity, 1)
    positives = [e for e in examples if e.spans]
    assert len(positives) == 60 and len(examples) - len(positives) == 20
    assert sum(e.kind == "phrase" for e in positives) == 18
    for e in positives:  # both sides are equal, so the span is the name
        assert all(e.sentence[a:b] == e.name for a, b in e.spans)
    for e in examples:
        assert e.spans or e.name.casefold() not in e.sentence.casefold()
    assert report.counts == {"bootstrap": 60, "negative": 20} and not report.missing


def test_the_same_seed_gives_the_same_examples(similarity, table):
    config = AlignerConfig(num_examples=40, example_sources={"bootstrap": 1.0})
    one, two, other = (build_examples(config, "de", table, similarity, seed)[0] for seed in (1, 1, 2))
    assert one == two and one != other


def test_all_example_sources_give_their_quota_and_missing_examples_are_reported(tmp_path, similarity, table):
    file = tmp_path / "de.tsv"
    file.write_text("Rome\tIch mag Rom.\t8\t11\n", encoding="utf-8")
    lexicon = tmp_path / "lexicon.tsv"
    lexicon.write_text("Germany\tGermany\n", encoding="utf-8")
    config = AlignerConfig(
        num_examples=60,
        negative_ratio=0.25,
        example_sources={"bootstrap": 2, "pairs": 1, "lexicon": 1, "translator": 1},
        examples_file=str(tmp_path / "{language}.tsv"),
        lexicon=str(lexicon),
        translator="unused",
    )
    examples, report = build_examples(
        config,
        "de",
        table,
        similarity,
        1,
        tag=lambda texts: [[(0, 4, "PER", 1.0)] for _ in texts],
        translate=lambda t: t,
    )
    assert report.counts["pairs"] == 1 and report.missing["pairs"] == 8
    assert report.counts["lexicon"] == report.counts["translator"] == 9
    assert report.counts["bootstrap"] == 45 - 1 - 9 - 9  # it fills up missing examples
    assert Example("Rome", "Ich mag Rom.", ((8, 11),), "de", "pairs") in examples


def test_agreement_drops_spans_whose_tokens_match_nothing(similarity):
    lists = pa.array([[{"start": 0, "end": 4, "type": "PER", "score": 1.0}]] * 2, schema.ENTITIES.type)
    aligned = bidirectional_agreement(
        similarity, ["Anna", "Anna"], ["Anna", "，，，，，，，，"], lists, "de", np.random.default_rng(1)
    )
    assert aligned.source.rows.tolist() == [0] and aligned.target.ends.tolist() == [4]


class FailsOn:
    """The similarity, with an error on texts that contain a word."""

    def __init__(self, similarity, word):
        self.similarity, self.word = similarity, word

    def match(self, sources, targets):
        if any(self.word in text for text in sources):
            raise ValueError("too long for the model")
        return self.similarity.match(sources, targets)


def test_pairs_on_which_the_similarity_fails_give_no_example(similarity, table):
    config = AlignerConfig(num_examples=80, example_sources={"bootstrap": 1.0})
    bad = table.column("source")[11].as_py()
    examples, report = build_examples(config, "de", table, FailsOn(similarity, bad), 1)
    num_bad = table.column("source").to_pylist().count(bad)
    assert report.skipped == {"ValueError: too long for the model": num_bad}
    assert examples and all(e.sentence != bad for e in examples)
    others = table.filter(pa.array([s != bad for s in table.column("source").to_pylist()]))
    assert sum(report.counts.values()) >= len(build_examples(config, "de", others, similarity, 2)[0]) * 0.9


def test_texts_on_which_tagger_or_translator_fail_give_no_example(similarity, table):
    config = AlignerConfig(num_examples=40, example_sources={"translator": 1.0}, translator="unused")

    def tag(texts):
        if any(text.startswith("Ulm") for text in texts):
            raise ValueError("cannot tag")
        return [[(0, text.index(" "), "PER", 1.0)] for text in texts]

    def translate(names):
        if "Rom" in names:
            raise RuntimeError("cannot translate")
        return names

    examples, report = build_examples(config, "de", table, similarity, 1, tag=tag, translate=translate)
    names = {e.name for e in examples}
    assert names and not names & {"Ulm", "Rom"}
    assert set(report.skipped) == {"ValueError: cannot tag", "RuntimeError: cannot translate"}


def test_equal_spans_are_whole_words():
    assert equal_spans("Rom, Roms Rom", 0, 3, "de") == [(0, 3), (10, 13)]
    assert equal_spans("中国在中国", 3, 5, "zh") == [(0, 2), (3, 5)]
    assert equal_spans("aXa", 0, 2, "de") == [(0, 2)]


def test_a_place_in_the_name_of_an_organization_is_no_mention_of_it():
    for text in ("中国银行在中国", "中国人民银行在中国"):
        end = len(text)
        assert equal_spans(text, end - 2, end, "zh") == [(end - 2, end)]
    assert equal_spans("中国人去中国", 4, 6, "zh") == [(0, 2), (4, 6)]
    assert equal_spans("日本銀行は日本", 5, 7, "ja") == [(5, 7)]
    assert equal_spans("中国银行", 0, 2, "zh") == [(0, 2)]  # the span itself stays


def test_an_occurrence_inside_a_longer_name_of_the_pair_is_no_mention():
    assert outermost([(0, 5), (10, 15)], [(0, 5), (10, 20), (10, 15)]) == [(0, 5)]
    assert outermost([(0, 5)], []) == [(0, 5)]


def test_only_logographic_scripts_have_a_third_of_the_characters():
    long = "ก" * 250
    for language, kept in (("th", 1), ("km", 1), ("my", 1), ("lo", 1), ("de", 1), ("zh", 0), ("ja", 0)):
        assert _short_pairs(pa.table({"source": ["a"], "target": [long]}), language).num_rows == kept


@given(st.text(alphabet="ab ", min_size=1, max_size=12), st.data())
def test_equal_spans_contain_the_span_and_never_overlap(text, data):
    start = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(start + 1, len(text)))
    spans = equal_spans(text, start, end, "de")
    assert (start, end) in spans and spans == sorted(spans)
    assert all(text[a:b] == text[start:end] for a, b in spans)
    assert all(a[1] <= b[0] for a, b in pairwise(spans))


def test_a_negative_name_is_not_in_the_sentence_and_contains_no_name_of_it():
    positives = [
        Example("European Union", "Die Europäische Union", ((4, 21),), "de", "b", "ORG", "The European Union"),
        Example("Union", "Die Gewerkschaft", ((4, 16),), "de", "b", "ORG", "The Union"),
        Example("Rome", "Rom", ((0, 3),), "de", "b", "LOC", "Rome"),
    ]
    negatives = draw_negatives(positives, 8, np.random.default_rng(0))
    assert len(negatives) == 8 and {e.spans for e in negatives} == {()}
    assert {(e.name, e.sentence) for e in negatives} <= {
        ("Rome", "Die Europäische Union"), ("Rome", "Die Gewerkschaft"), ("European Union", "Rom"), ("Union", "Rom"),
    }  # fmt: skip


def test_a_name_whose_translation_is_in_the_sentence_is_no_negative():
    positives = [
        Example("Germany", "Deutschland", ((0, 11),), "de", "pairs"),
        Example("Cologne", "Köln liegt in Deutschland", ((0, 4),), "de", "pairs"),
    ]
    negatives = draw_negatives(positives, 4, np.random.default_rng(0))
    assert {(e.name, e.sentence) for e in negatives} == {("Cologne", "Deutschland")}


def test_negatives_have_the_type_of_a_name_of_any_source():
    sentences = {name: f"{name} {i}" for i, name in enumerate(["Rom", "Ulm", "Anna", "Otto", "Eva", "Köln"])}
    positives = [
        Example(f"{name}'", sentence, ((0, len(name)),), "de", ("pairs", "lexicon")[i % 2])
        for i, (name, sentence) in enumerate(sentences.items())
    ]

    def tag(texts):
        return [[(0, 2, "PER" if text[:2] in ("An", "Ot", "Ev") else "LOC", 0.9)] for text in texts]

    typed, faults = with_kinds(positives, tag)
    assert [e.kind for e in typed] == ["LOC", "LOC", "PER", "PER", "PER", "LOC"] and not faults
    kinds = {e.name: e.kind for e in typed}
    assert all(kinds[e.name] == e.kind for e in draw_negatives(typed, 12, np.random.default_rng(0)))


def test_examples_of_one_name_and_sentence_are_one_example():
    text = "Berlin und Berlins Mauer"
    one, two = (
        Example("Berlin", text, ((0, 6),), "de", "pairs"),
        Example("BERLIN", text, ((11, 18),), "de", "x", "LOC", "s"),
    )
    assert merge_examples([one, two]) == [Example("Berlin", text, ((0, 6), (11, 18)), "de", "pairs", "LOC", "s")]
    overlapping = Example("Berlin", text, ((0, 10),), "de", "x")
    assert merge_examples([one, overlapping]) == [one]


def test_a_name_of_two_types_in_one_sentence_is_one_bootstrapped_example(similarity):
    text = "Rom reads Rom today"
    row = [{"start": 0, "end": 3, "type": "PER", "score": 0.9}, {"start": 10, "end": 13, "type": "LOC", "score": 0.9}]
    table = pa.table({"source": [text], "target": [text], "entities": pa.array([row], schema.ENTITIES.type)})
    config = AlignerConfig(num_examples=4, noun_phrase_ratio=0, negative_ratio=0, example_sources={"bootstrap": 1.0})
    examples, _ = build_examples(config, "de", table, similarity, 1)
    assert [(e.name, e.spans) for e in examples] == [("Rom", ((0, 3), (10, 13)))]


def test_labels_are_on_the_sentence_and_cover_the_words_of_the_spans(tokenizer):
    examples = [
        Example("Ulm", "in Neu-Ulm, Ulm", ((3, 10), (12, 15)), "de", "pairs"),
        Example("Ulm", "nichts", (), "de", "pairs"),
        Example("Peking", "在北京。", ((1, 3),), "zh", "pairs"),
        Example("long", "x " * 200, ((0, 1),), "de", "pairs"),
    ]
    data, num_too_long = encode_examples(tokenizer, examples, 128)
    assert num_too_long == 1 and len(data.ids) == 3
    assert set(data.labels[data.types == 0].tolist()) == {IGNORE_INDEX}
    for row, example in enumerate(examples[:3]):
        own = slice(*data.ids.offsets[row : row + 2])
        labels, segment_ids = data.labels[own], data.types[own]
        assert labels[-1] == IGNORE_INDEX and segment_ids[-1] == 1
        tokens = tokenizer([example.sentence])
        expected = [
            any(a < y and x < b for a, b in example.spans) for x, y in zip(tokens.starts, tokens.ends, strict=True)
        ]
        assert labels[segment_ids == 1][:-1].tolist() == expected, example


def test_the_examples_file_has_one_json_object_a_line(tmp_path):
    write_examples(tmp_path / "examples.jsonl", [Example("Peking", "在北京。", ((1, 3),), "zh", "bootstrap")])
    (line,) = (tmp_path / "examples.jsonl").read_text("utf-8").splitlines()
    assert json.loads(line) == {
        "language": "zh", "name": "Peking", "sentence": "在北京。", "spans": [[1, 3]], "example_source": "bootstrap",
        "kind": "", "source_text": "",
    }  # fmt: skip
