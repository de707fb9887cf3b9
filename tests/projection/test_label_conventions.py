import pyarrow as pa
import pytest

from xner_ray import schema
from xner_ray.config import RulesConfig
from xner_ray.projection.filters import assign_verdicts
from xner_ray.projection.label_conventions import apply_conventions, is_entity_type


def converted(name, kind, surface, following, language, **rules):
    """The type of one span. By default words that are derived from names are MISC."""
    columns = [pa.array([text], pa.large_string()) for text in (name, surface, following)]
    rules = RulesConfig(**({"derived_word_type": {language: "MISC"}} | rules))
    return apply_conventions(pa.array([kind]), *columns, language, rules)[0].as_py()


@pytest.mark.parametrize(
    ("name", "kind", "surface", "following", "language"),
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
def test_compounds_and_derived_words_get_the_type_of_the_config(name, kind, surface, following, language):
    assert converted(name, kind, surface, following, language) == "MISC"
    assert converted(name, kind, surface, following, language, derived_word_type={}) == kind
    assert converted(name, kind, surface, following, "xx", derived_word_type={language: "MISC"}) == kind


@pytest.mark.parametrize(
    ("name", "kind", "surface", "following", "language"),
    [
        ("Max Planck Institute", "ORG", "Max-Planck-Institut", " i", "de"),
        ("Saudi Arabia", "LOC", "Saudi-Arabien", " h", "de"),
        ("Hanover", "LOC", "Hannover", " M", "de"),
        ("Berlin", "LOC", "Berliner", " s", "de"),  # ambiguous: no noun follows
        ("Black Sea", "LOC", "Schwarzes Meer", ".", "de"),
        ("Angela Merkel", "PER", "Angela Merkel", " F", "de"),
        ("Al-Sisi", "PER", "al-Sisi", "", "de"),
        ("UK", "LOC", "Groot-Brittannië", " e", "nl"),
        ("Iraq", "LOC", "Nord-Irak", "", "de"),
        ("Covid", "MISC", "Covid-19", "", "de"),
        ("Toulouse", "LOC", "Toulouse", "", "nl"),
    ],
)
def test_names_keep_their_type(name, kind, surface, following, language):
    assert converted(name, kind, surface, following, language) == kind


def test_single_lowercase_words_get_the_type_of_the_config():
    spanish = {"derived_word_type": {}, "lowercase_word_type": {"es": "O"}}
    assert converted("American", "MISC", "estadounidense", " y", "es", **spanish) == "O"
    assert converted("American", "MISC", "Estadounidense", " y", "es", **spanish) == "MISC"
    assert converted("iPhone", "MISC", "iPhone", "", "es", **spanish) == "MISC"  # the source name is lowercase, too
    assert converted("Ministry of Defence", "ORG", "ministerio de Defensa", "", "es", **spanish) == "ORG"
    assert is_entity_type(pa.array(["O", "MISC"])).tolist() == [False, True]


def test_overrides_by_surface_text_come_last():
    overrides = {"zh": {"我国": "O", "世卫": "ORG"}, "es": {"estadounidense": "LOC"}}
    assert converted("China", "LOC", "我国", "的", "zh", surface_type_overrides=overrides) == "O"
    assert converted("WHO", "MISC", "世卫", "", "zh", surface_type_overrides=overrides) == "ORG"
    assert converted("China", "LOC", "我国家", "", "zh", surface_type_overrides=overrides) == "LOC"  # only whole texts
    assert converted("China", "LOC", "我国", "", "ja", surface_type_overrides=overrides) == "LOC"
    assert (
        converted(
            "American",
            "MISC",
            "estadounidense",
            "",
            "es",
            surface_type_overrides=overrides,
            lowercase_word_type={"es": "O"},
        )
        == "LOC"
    )


def row(pair, language, source, target, entities, projections):
    columns = {"corpus": "c", "domain": "d", "language": language, "pair_id": pair, "source": source}
    spans = [{"start": a, "end": b, "type": t, "score": 0.9} for a, b, t in entities]
    projected = [{"entity": e, "start": a, "end": b, "score": 0.8} for e, a, b in projections]
    return {
        **columns,
        "target": target,
        "corpus_score": None,
        "entities": spans,
        "projections": projected,
        "fault": None,
    }


def test_filters_apply_conventions_by_language_and_rows_may_lose_all_entities():
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
    filtered = assign_verdicts(table, rules).to_pylist()
    none = schema.KEPT_NO_ENTITY
    assert [r["verdict"] for r in filtered] == [schema.KEPT, none, schema.KEPT, none, none]
    assert [[(s["start"], s["end"], s["type"]) for s in r["spans"]] for r in filtered] == [
        [(0, 8, "MISC")], [], [(0, 3, "PER")], [], [],
    ]  # fmt: skip
    plain = assign_verdicts(table, RulesConfig()).to_pylist()
    assert [len(r["spans"]) for r in plain] == [1, 1, 2, 0, 1] and plain[0]["spans"][0]["type"] == "LOC"
