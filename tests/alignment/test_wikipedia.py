"""Links of a Wikipedia dump as examples of the aligner."""

from __future__ import annotations

import bz2
import gzip
from xml.sax.saxutils import escape

import pyarrow as pa
import pytest

from xner_ray import schema
from xner_ray.alignment.examples import wikipedia
from xner_ray.alignment.examples.builder import build_examples
from xner_ray.alignment.examples.wikipedia import article_examples, check_files, read_langlinks, wikipedia_examples
from xner_ray.config import AlignerConfig
from xner_ray.errors import UserError

NAMES = {"Köln": "Cologne", "Rhein": "Rhine", "Berlin": "Berlin", "Hauptstadt": "Capital city", "Rom (Stadt)": "Rome"}
COLOGNE = """{{Infobox|bild=x|{{nested}}}}
'''Köln''' liegt am [[Rhein]]&nbsp;– eine [[Köln|Kölner]] Sage.<ref>[[Rom]]</ref> Kurz.
== Kopf ==
* [[Rhein]] in einer Liste von Namen
[[Datei:Bild.jpg|mini|Der [[Rhein]] bei Nacht und Nebel]]
Ein Satz mit <b>[[Rhein]]</b> und anderem Text ist keiner.
[[Berlin]] und [[Berlin]]s Mauer am [[rhein|rheinischen]] Ufer, sagt Berlin.
Die [[Rom (Stadt)#Antike|ewige Stadt]] &amp; [[Unbekannt]] z. B. hier.
"""


def page(number: int, title: str, text: str, ns: int = 0, extra: str = "") -> str:
    return (
        f"<page><title>{escape(title)}</title><ns>{ns}</ns><id>{number}</id>{extra}<revision><id>9{number}</id>"
        f'<text xml:space="preserve">{escape(text)}</text></revision></page>\n'
    )


def write_dump(folder, pages: str, links: str):
    header = '<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/" version="0.11" xml:lang="de">\n'
    (folder / "dump.xml.bz2").write_bytes(bz2.compress((header + pages + "</mediawiki>\n").encode()))
    sql = "-- MySQL dump\nCREATE TABLE `langlinks` (...);\nINSERT INTO `langlinks` VALUES " + links + ";\n"
    (folder / "links.sql.gz").write_bytes(gzip.compress(sql.encode()))
    return str(folder / "dump.xml.bz2"), str(folder / "links.sql.gz")


@pytest.fixture
def files(tmp_path):
    pages = page(1, "Köln", COLOGNE) + page(2, "Rhein", "Der [[Rhein]] fließt durch [[Köln]] ins Meer.")
    pages += page(3, "BRD", "#WEITERLEITUNG [[Köln]]", extra='<redirect title="Köln" />') + page(4, "Köln", "x", ns=10)
    pages += page(5, "O'Brien", "[[Rhein]] und [[O'Brien]] stehen in diesem Satz.")
    links = r"(1,'de','Falsch'),(1,'en','Cologne'),(2,'en','Rhine (river)'),(2,'fr','Rhin'),(3,'en','West'),(5,'en','O\'Brien')"
    return write_dump(tmp_path, pages, links)


def test_links_give_names_and_spans_and_markup_gives_none():
    examples = list(article_examples(COLOGNE, NAMES, "de", 320))
    found = {(e.name, e.kind, tuple(e.sentence[a:b] for a, b in e.spans)) for e in examples}
    assert found == {
        ("Rhine", "", ("Rhein",)),
        ("Cologne", "", ("Kölner",)),
        ("Berlin", "", ("Berlin", "Berlins", "Berlin")),  # one example, with the mention that is no link
        ("Rhine", "phrase", ("rheinischen",)),
        ("Rome", "phrase", ("ewige Stadt",)),
    }
    assert {e.sentence for e in examples} == {
        "Köln liegt am Rhein – eine Kölner Sage.",
        "Berlin und Berlins Mauer am rheinischen Ufer, sagt Berlin.",
        "Die ewige Stadt & Unbekannt z. B. hier.",
    }
    chinese = article_examples("[[柏林]]人说他们非常喜欢在这里生活和工作已经很多年了。", {"柏林": "Berlin"}, "zh", 100)
    assert [(e.name, [e.sentence[a:b] for a, b in e.spans]) for e in chinese] == [("Berlin", ["柏林"])]


@pytest.mark.timeout(30)
def test_markup_without_an_end_costs_no_time():
    for text in ("<ref>" * 50_000, "<!--" * 50_000, "{{" * 20_000, "[[Rhein]] sagt. " * 20_000, "[[" * 20_000):
        assert list(article_examples(text, NAMES, "de", 320)) == []
    assert list(article_examples("<ref>" * 100 + "\nDer [[Rhein]] fließt ins Meer, sagt man.", NAMES, "de", 320))


def test_titles_are_those_of_the_source_language(files):
    assert read_langlinks(files[1], "en") == {1: "Cologne", 2: "Rhine", 3: "West", 5: "O'Brien"}
    with pytest.raises(UserError) as e:
        read_langlinks(files[1], "nl")
    assert e.value.key == "aligner.wikipedia_langlinks" and e.value.remedy


def test_a_dump_is_read_up_to_the_last_title_and_gives_examples_in_order(files, monkeypatch):
    examples = list(wikipedia_examples(*files, "de", "en", 320, 10))
    assert [e.name for e in examples] == ["Rhine", "Cologne", "Rhine", "Rhine", "Cologne", "Rhine", "O'Brien"]
    assert [e.kind for e in examples].count("phrase") == 1
    assert len(list(wikipedia_examples(*files, "de", "en", 320, 0))) == len(examples) - 1
    monkeypatch.setattr(wikipedia, "MAX_EXAMPLES_PER_NAME", 1)
    assert [e.name for e in wikipedia_examples(*files, "de", "en", 320, 10)].count("Rhine") == 1


@pytest.mark.parametrize("damage", ["no xml", "truncated", "entities", "no page", "other wiki"])
def test_a_bad_dump_is_an_error_with_key_and_remedy(files, tmp_path, damage):
    dump, links = files
    data = bz2.decompress((tmp_path / "dump.xml.bz2").read_bytes())
    if damage == "truncated":
        (tmp_path / "dump.xml.bz2").write_bytes((tmp_path / "dump.xml.bz2").read_bytes()[:-20])
    else:
        header = b'<!DOCTYPE x [<!ENTITY a "b">]>' if damage == "entities" else b""
        text = {
            "no xml": b"hello",
            "no page": b"<mediawiki></mediawiki>",
            "other wiki": data.replace(b"<id>", b"<id>77"),
        }
        (tmp_path / "dump.xml.bz2").write_bytes(header + text.get(damage, data))
    with pytest.raises(UserError) as e:
        list(wikipedia_examples(dump, links, "de", "en", 320, 10))
    assert e.value.file == dump and e.value.remedy
    assert damage == "truncated" or e.value.key == "aligner.wikipedia_dump"


def test_a_plain_dump_that_is_cut_is_an_error(files, tmp_path):
    cut = tmp_path / "cut.xml"
    cut.write_bytes(bz2.decompress((tmp_path / "dump.xml.bz2").read_bytes())[:-40])
    with pytest.raises(UserError) as e:
        list(wikipedia.read_articles(str(cut)))
    assert e.value.key == "aligner.wikipedia_dump" and "fetch" in e.value.remedy


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_an_entity_is_never_expanded_wherever_its_declaration_stands(tmp_path, encoding, monkeypatch):
    monkeypatch.setattr(wikipedia, "_BLOCK", 64)
    dump = tmp_path / "dump.xml"
    for padding in range(40, 64):
        text = f"<!--{'x' * padding}--><!DOCTYPE m [<!ENTITY a 'Berlin'>]><m>{page(1, 'A', '&a;').replace('&amp;', '&')}</m>"
        dump.write_text(text, encoding=encoding)
        with pytest.raises(UserError) as e:
            list(wikipedia.read_articles(str(dump)))
        assert e.value.key == "aligner.wikipedia_dump"


def test_an_id_of_many_digits_is_no_id(tmp_path):
    digits = "9" * 5000
    dump, links = write_dump(
        tmp_path, page(digits, "A", "x"), f"({digits},'en','A'),(1,'en','Bern'),(1,'no','Bergen')"
    )
    assert [a.page_id for a in wikipedia.read_articles(dump)] == [0]
    assert read_langlinks(links, "en") == {1: "Bern"} and read_langlinks(links, "nb") == {1: "Bergen"}


def test_the_preflight_reads_the_beginning_of_both_files(files, tmp_path):
    check_files(*files)
    for wrong in ((files[1], files[1]), (files[0], files[0]), (files[0], str(tmp_path / "none.gz"))):
        with pytest.raises(UserError) as e:
            check_files(*wrong)
        assert e.value.key in ("aligner.wikipedia_dump", "aligner.wikipedia_langlinks") and e.value.remedy


def test_the_source_gives_its_quota_with_negatives_of_the_same_type(files):
    config = AlignerConfig(
        num_examples=8, example_sources={"wikipedia": 1}, wikipedia_dump=files[0], wikipedia_langlinks=files[1]
    )
    table = pa.table({"source": ["a"], "target": ["b"], "entities": pa.array([[]], schema.ENTITIES.type)})
    examples, report = build_examples(
        config, "de", table, None, 1, tag=lambda texts: [[(0, len(t), "LOC", 0.9)] for t in texts]
    )
    assert report.counts == {"wikipedia": 6, "negative": 2} and not report.missing
    assert {e.kind for e in examples} <= {"LOC", "phrase"}
    assert all(e.name not in e.sentence for e in examples if not e.spans)
