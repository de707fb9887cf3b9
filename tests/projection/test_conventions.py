import pyarrow as pa
import pytest

from xner_ray import schema
from xner_ray.config import RulesConfig
from xner_ray.projection.filters import judge
from xner_ray.projection.label_conventions import is_entity, retype


def one(name, kind, surface, after, language, **rules):
    columns = [pa.array([text], pa.large_string()) for text in (name, surface, after)]
    rules = {"lowercase": {}, "derived": {language: "MISC"}, "words": {}} | rules
    return retype(pa.array([kind]), *columns, language, **rules)[0].as_py()


@pytest.mark.parametrize(
    ("name", "kind", "surface", "after", "language"),
    [
        ("FDP", "ORG", "FDP-Chef", " s", "de"),
        ("Berlin", "LOC", "Berliner", " M", "de"),
        ("Cologne", "LOC", "Kölner", " D", "de"),
        ("US Open", "ORG", "US-Open-Halbfinale", ".", "de"),
        ("London", "LOC", "Londense", " b", "nl"),
        ("NATO", "ORG", "NAVO-soldaat", "", "nl"),
        ("Trump", "PER", "Trump-Regierung", " h", "de"),
    ],
)
def test_words_made_of_names(name, kind, surface, after, language):
    assert one(name, kind, surface, after, language) == "MISC"
    assert one(name, kind, surface, after, language, derived={}) == kind
    assert one(name, kind, surface, after, "xx", derived={language: "MISC"}) == kind


@pytest.mark.parametrize(
    ("name", "kind", "surface", "after", "language"),
    [
        ("Max Planck Institute", "ORG", "Max-Planck-Institut", " i", "de"),
        ("Saudi Arabia", "LOC", "Saudi-Arabien", " h", "de"),
        ("Hanover", "LOC", "Hannover", " M", "de"),
        ("Berlin", "LOC", "Berliner", " s", "de"),  # who knows: no noun follows
        ("Black Sea", "LOC", "Schwarzes Meer", ".", "de"),
        ("Angela Merkel", "PER", "Angela Merkel", " F", "de"),
        ("Al-Sisi", "PER", "al-Sisi", "", "de"),
        ("UK", "LOC", "Groot-Brittannië", " e", "nl"),
        ("Iraq", "LOC", "Nord-Irak", "", "de"),
        ("Covid", "MISC", "Covid-19", "", "de"),
        ("Toulouse", "LOC", "Toulouse", "", "nl"),
    ],
)
def test_names_stay(name, kind, surface, after, language):
    assert one(name, kind, surface, after, language) == kind


def test_words_in_lower_case():
    spanish = {"derived": {}, "lowercase": {"es": "O"}}
    assert one("American", "MISC", "estadounidense", " y", "es", **spanish) == "O"
    assert one("American", "MISC", "Estadounidense", " y", "es", **spanish) == "MISC"
    assert one("iPhone", "MISC", "iPhone", "", "es", **spanish) == "MISC"  # its English name is no other
    assert one("Ministry of Defence", "ORG", "ministerio de Defensa", "", "es", **spanish) == "ORG"
    assert is_entity(pa.array(["O", "MISC"])).tolist() == [False, True]


def test_words_have_the_last_say():
    words = {"zh": {"我国": "O", "世卫": "ORG"}, "es": {"estadounidense": "LOC"}}
    assert one("China", "LOC", "我国", "的", "zh", words=words) == "O"
    assert one("WHO", "MISC", "世卫", "", "zh", words=words) == "ORG"
    assert one("China", "LOC", "我国家", "", "zh", words=words) == "LOC"  # whole texts alone
    assert one("China", "LOC", "我国", "", "ja", words=words) == "LOC"
    assert one("American", "MISC", "estadounidense", "", "es", words=words, lowercase={"es": "O"}) == "LOC"


def row(pair, language, source, target, entities, projections):
    columns = {"corpus": "c", "domain": "d", "language": language, "pair_id": pair, "source": source}
    spans = [{"start": a, "end": b, "type": t, "score": 0.9} for a, b, t in entities]
    found = [{"entity": e, "start": a, "end": b, "score": 0.8} for e, a, b in projections]
    return {**columns, "target": target, "corpus_score": None, "entities": spans, "projections": found, "fault": None}


def test_judge_applies_them_by_language_and_moves_rows_without_entities():
    rows = [
        row(1, "de", "The Berlin Wall in Berlin", "Berliner Mauer", [(4, 10, "LOC")], [(0, 0, 8)]),
        row(2, "es", "An American", "Un estadounidense", [(3, 11, "MISC")], [(0, 3, 17)]),
        row(3, "es", "Ana, an American", "Ana, estadounidense", [(0, 3, "PER"), (8, 16, "MISC")], [(0, 0, 3), (1, 5, 19)]),
        row(4, "es", "none", "nada", [], []),
        row(5, "zh", "Our China", "我国", [(4, 9, "LOC")], [(0, 0, 2)]),
    ]  # fmt: skip
    table = pa.Table.from_pylist(rows, schema=schema.ALIGNED)
    rules = RulesConfig(
        derived_word_type={"de": "MISC"}, lowercase_word_type={"es": "O"}, surface_type_overrides={"zh": {"我国": "O"}}
    )
    judged = judge(table, rules).to_pylist()
    none = schema.KEPT_NO_ENTITY
    assert [r["verdict"] for r in judged] == [schema.KEPT, none, schema.KEPT, none, none]
    assert [[(s["start"], s["end"], s["type"]) for s in r["spans"]] for r in judged] == [
        [(0, 8, "MISC")], [], [(0, 3, "PER")], [], [],
    ]  # fmt: skip
    plain = judge(table, RulesConfig()).to_pylist()
    assert [len(r["spans"]) for r in plain] == [1, 1, 2, 0, 1] and plain[0]["spans"][0]["type"] == "LOC"
