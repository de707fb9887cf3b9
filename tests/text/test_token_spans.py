"""Character spans to word spans: examples of the rule, its properties, and batches against single sentences."""

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.harness.projection_rows import aligned, aligned_rows
from xner_ray import schema
from xner_ray.config import RulesConfig
from xner_ray.projection.filters import judge
from xner_ray.projection.tokenize import export, unlabeled
from xner_ray.text.arrow_kernels import char_lengths, substrings
from xner_ray.text.tags import bio2_to_spans, spans_to_bio2
from xner_ray.text.token_spans import char_to_token_spans
from xner_ray.text.words import tokenize_words


def labeled(text: str, marked: str, language: str = "de") -> list[str]:
    """What an entity that covers `marked` in the text takes."""
    start = text.index(marked)
    cut = tokenize_words(text, language)
    spans = char_to_token_spans(text, [(start, start + len(marked), "X")], cut)
    return [text[a:b] for first, last, _ in spans for a, b in cut[first:last]]


@pytest.mark.parametrize(
    ("text", "marked", "expected"),
    [
        ("in Berlins, ja", "Berlins,", ["Berlins"]),
        ("in Berlins, ja", "Berlin", ["Berlins"]),
        ("in Berlins, ja", "lins, ", ["Berlins"]),
        ("in Berlins, ja", "ins,", []),
        ("der Berlin-Marathon", "Berlin", []),
        ("der Berlin-Marathon", "Berlin-M", ["Berlin-Marathon"]),
        ("(SPD) und", "(SPD)", ["SPD"]),
        ("das „Radio“ und", "„Radio“", ["Radio"]),
        ("das Radnicki (N) und", "Radnicki (N)", ["Radnicki", "(", "N", ")"]),
        ("das Radnicki (N) und", "Radnicki (", ["Radnicki"]),
        ("das (Tom) Seaver und", "(Tom) Seaver", ["(", "Tom", ")", "Seaver"]),
        ("ja, (Tom Seaver", ", (Tom Seaver", ["Tom", "Seaver"]),
        ("ja , und", ",", []),
    ],
)
def test_examples_of_the_rule(text, marked, expected):
    assert labeled(text, marked) == expected


def test_brackets_of_chinese_titles():
    assert labeled("读《时代潮》杂志。", "《时代潮》杂志", "zh") == list("《时代潮》杂志")
    assert labeled("读《时代潮》。", "《时代潮》", "zh") == list("时代潮")


def test_first_entity_takes_a_shared_word():
    spans = char_to_token_spans("Ost-West", [(0, 4, "A"), (4, 8, "B")], tokenize_words("Ost-West", "de"))
    assert spans == [(0, 1, "A")]
    assert char_to_token_spans("", [], []) == []


@settings(deadline=None)
@given(st.text("ab,( )-", min_size=1, max_size=12), st.data())
def test_half_covered_words_without_outer_punctuation(text, data):
    cut = tokenize_words(text, "de")
    start = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(start + 1, len(text)))
    found = char_to_token_spans(text, [(start, end, "X")], cut)
    for first, last, _ in found:
        for a, b in cut[first:last]:
            assert 2 * (min(b, end) - max(a, start)) >= b - a
        assert text[cut[first][0]] not in ",-)"
        assert text[cut[last - 1][0]] not in ",-("
    if not found:  # then no word with a letter is covered by half
        assert not any(2 * (min(b, end) - max(a, start)) >= b - a for a, b in cut if text[a:b].strip(",()-"))


@settings(max_examples=60, deadline=None)
@given(st.lists(aligned_rows(), min_size=1, max_size=6), st.data())
def test_batches_agree_with_single_sentences(rows, data):
    judged = judge(aligned(rows), RulesConfig())
    at = data.draw(st.integers(0, len(rows)))
    exported = export(pa.concat_tables([judged.slice(0, at), judged.slice(at)]))
    assert exported.schema == schema.EXPORTED
    exported.validate(full=True)
    lost = 0
    for row in exported.to_pylist():
        if row["verdict"] not in ("kept", "kept_no_entity"):
            assert row["tokens"] == row["ner_tags"] == []
            continue
        cut = tokenize_words(row["target"], row["language"])
        assert row["tokens"] == [row["target"][a:b] for a, b in cut]
        spans = [(s["start"], s["end"], s["type"]) for s in row["spans"]]
        tags = spans_to_bio2(char_to_token_spans(row["target"], spans, cut), len(cut))
        assert row["ner_tags"] == tags
        lost += len(spans) - len(bio2_to_spans(row["ner_tags"]))
    assert unlabeled(exported) == lost


@given(st.lists(st.text(max_size=6), max_size=5), st.data())
def test_substrings_are_python_slices(texts, data):
    skip = data.draw(st.integers(0, len(texts)))
    strings = pa.array(texts, pa.string())[skip:]
    texts = texts[skip:]
    assert char_lengths(strings).tolist() == [len(t) for t in texts]
    picks = []
    for i, text in enumerate(texts):
        start = data.draw(st.integers(0, len(text)))
        picks.append((i, start, data.draw(st.integers(start, len(text)))))
    rows, starts, ends = (pa.array([p[k] for p in picks], pa.int64()).to_numpy() for k in range(3))
    assert substrings(strings, rows, starts, ends).to_pylist() == [texts[i][a:b] for i, a, b in picks]


QUOTED = '“El País” y \'Marca\' dicen "Ana"Eva", no "Luis. «Él»'
NAMES = ["El País", "Marca", "Ana", "Eva", "Luis", "Él"]


def test_quotation_marks_belong_to_the_name_where_gold_has_them():
    source = " ".join(f"N{i}" for i in range(len(NAMES)))
    entities = [{"start": 3 * i, "end": 3 * i + 2, "type": "ORG", "score": 0.9} for i in range(len(NAMES))]
    at = [QUOTED.index(name) for name in NAMES]
    found = [
        {"entity": i, "start": a, "end": a + len(name), "score": 0.8}
        for i, (a, name) in enumerate(zip(at, NAMES, strict=True))
    ]
    row = {"corpus": "c", "domain": "d", "pair_id": 1, "source": source, "target": QUOTED, "corpus_score": None}
    row |= {"entities": entities, "projections": found, "fault": None}
    rows = [row | {"language": x} for x in ("es", "nl", "es")]
    judged = judge(pa.Table.from_pylist(rows, schema=schema.ALIGNED), RulesConfig())

    def names(**how):
        return [
            ["".join(r["tokens"][a:b]) for a, b, _ in bio2_to_spans(r["ner_tags"])]
            for r in export(judged, **how).to_pylist()
        ]

    # Ana and Eva would share a mark, Luis has none behind it.
    wide = ["“ElPaís”", "'Marca'", "Ana", "Eva", "Luis", "«Él»"]
    plain = [name.replace(" ", "") for name in NAMES]
    assert names(quoted=["es"]) == [wide, plain, wide]
    assert names() == [plain] * 3
