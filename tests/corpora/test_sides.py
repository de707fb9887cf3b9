"""Which side is which: the columns of TSV files, regional variants, and the check of both languages."""

from __future__ import annotations

import gzip

import pyarrow as pa
import pytest

from tests.harness.corpus_files import config, corpus, moses, rows_of, text, tmx, tsv, unit
from xner_ray.config import CorpusConfig
from xner_ray.corpora.filters.language_check import LanguageCheck
from xner_ray.corpora.ingest import ingest
from xner_ray.corpora.readers.corpus_reader import inspect, sources_of
from xner_ray.corpora.readers.tsv_layout import source_first
from xner_ray.errors import UserError

ENGLISH = [
    "The city council met on Tuesday to discuss the new budget.",
    "She bought two loaves of bread and a bottle of milk.",
    "Our train to the coast was delayed by almost an hour.",
    "Nobody knew why the old bridge had been closed.",
    "The children were playing in the garden behind the house.",
]
GERMAN = [
    "Der Stadtrat traf sich am Dienstag, um den neuen Haushalt zu besprechen.",
    "Sie kaufte zwei Laibe Brot und eine Flasche Milch.",
    "Unser Zug an die Küste hatte fast eine Stunde Verspätung.",
    "Niemand wusste, warum die alte Brücke gesperrt worden war.",
    "Die Kinder spielten im Garten hinter dem Haus.",
]
SPANISH = [
    "El ayuntamiento se reunió el martes para hablar del nuevo presupuesto.",
    "Ella compró dos barras de pan y una botella de leche.",
    "Nuestro tren a la costa se retrasó casi una hora.",
    "Nadie sabía por qué habían cerrado el viejo puente.",
    "Los niños jugaban en el jardín detrás de la casa.",
]
CHINESE = ["市议会星期二开会讨论新的预算。", "她买了两个面包和一瓶牛奶。", "我们去海边的火车晚点了将近一个小时。"]
TRADITIONAL = ["市議會星期二開會討論新的預算。", "她買了兩個麵包和一瓶牛奶。", "我們去海邊的火車晚點了將近一個小時。"]
PAIRS = list(zip(ENGLISH, GERMAN, strict=True))


def many(lines: list[str], n: int = 60) -> list[str]:
    return [f"{lines[i % len(lines)][:-1]} {i}." for i in range(n)]


def read(tmp_path, item: dict, language: str = "de", n: int | None = None) -> list[tuple[str, str]]:
    """The pairs of a corpus, and the notes of its count in `read.notes`."""
    report = ingest(config([item], language), language, tmp_path / "out")
    read.notes = report.corpora["c"].notes
    return [(row["source"], row["target"]) for row in rows_of(tmp_path / "out", report)][:n]


def error_of(tmp_path, item: dict, language: str = "de") -> UserError:
    """Plan and ingest give the same error."""
    made = config([item], language)
    with pytest.raises(UserError) as early:
        inspect(sources_of(made, language)[0])
    with pytest.raises(UserError) as late:
        ingest(made, language, tmp_path / "error")
    assert (early.value.key, early.value.remedy) == (late.value.key, late.value.remedy)
    return late.value


@pytest.mark.parametrize(
    ("rows", "score"),
    [
        (lambda i, a, b: f"{i}\t{a}\t{b}", None),
        (lambda i, a, b: f"{i}\t{a}\t{b}\t0.{i + 10}", 0.10),
        (lambda i, a, b: f"{a}\t{b}", None),
        (lambda i, a, b: f"{a}\t{b}\t{i}", None),
        (lambda i, a, b: f"{a}\t{b}\tdoc-{i}", None),
        (lambda i, a, b: f"{a}\t{b}\t1.{i + 10}", 1.10),
        (lambda i, a, b: f"{i}\t{a}\t{i + 7}\t{b}", None),
        (lambda i, a, b: f"doc.{i}\t{a}\t{b}\r", None),
        (lambda i, a, b: f"{i}\t{i}\t{a}\t{b}", None),
    ],
)
def test_columns_are_recognized(tmp_path, rows, score):
    made = tsv(tmp_path / "a.tsv", [rows(i, a, b) for i, (a, b) in enumerate(PAIRS)])
    assert read(tmp_path, corpus(made, "tsv")) == PAIRS
    report = ingest(config([corpus(made, "tsv")]), "de", tmp_path / "out")
    first = rows_of(tmp_path / "out", report)[0]["corpus_score"]
    assert first == pytest.approx(score) if score else first is None


@pytest.mark.parametrize(
    ("header", "order"),
    [
        ("id\tsource\ttarget", "iab"),
        ("id\ttarget\tsource", "iba"),
        ("en\tde", "ab"),
        ("German\tEnglish\tid", "bai"),
        ("score\tde\ten", "iba"),
        ("text_de\ttext_en", "ba"),
        ("sentence1\tsentence2\tscore", "abi"),
        ("nr\tsentence\ttranslation", "iab"),
    ],
)
def test_header_rows_name_the_columns(tmp_path, header, order):
    rows = ["\t".join({"i": str(i), "a": a, "b": b}[x] for x in order) for i, (a, b) in enumerate(PAIRS)]
    made = tsv(tmp_path / "a.tsv", [header, *rows])
    assert read(tmp_path, corpus(made, "tsv")) == PAIRS
    assert any("with a header" in note for note in read.notes)


@pytest.mark.parametrize(
    "rows",
    [
        lambda i, a, b: f"{a}\t{b}\tEin dritter Satz, Nummer {i}.",
        lambda i, a, b: f"{i}\t{a}",
        lambda i, a, b: f"{i}\t{i}\t{a}",
        lambda i, a, b: a,
        lambda i, a, b: f"{a}\t{i}\t\t",
    ],
)
def test_columns_that_are_not_clear_are_refused(tmp_path, rows):
    made = tsv(tmp_path / "a.tsv", [rows(i, a, b) for i, (a, b) in enumerate(PAIRS)])
    error = error_of(tmp_path, corpus(made, "tsv"))
    assert error.key == "corpora.0.columns" and error.file == str(made) and error.remedy


def test_blank_lines_have_no_columns(tmp_path):
    assert error_of(tmp_path, corpus(tsv(tmp_path / "a.tsv", [" "] * 9), "tsv")).key == "corpora.0.path"
    made = tsv(tmp_path / "b.tsv", ["", "id\tsource\ttarget", *(f"{i}\t{a}\t{b}" for i, (a, b) in enumerate(PAIRS))])
    assert read(tmp_path, corpus(made, "tsv"))[-5:] == PAIRS


def test_configured_columns(tmp_path):
    rows = [f"{a}\tEin dritter Satz, Nummer {i}.\t{b}\tx" for i, (a, b) in enumerate(PAIRS)]
    made = tsv(tmp_path / "a.tsv", rows)
    for n, columns in enumerate((["source", "skip", "target", "skip"], ["en", "skip", "deu", "skip"])):
        assert read(tmp_path / str(n), corpus(made, "tsv", columns=columns)) == PAIRS
    for columns in (["source", "target"], ["source", "skip", "target", "score"], ["en", "skip", "fr", "skip"]):
        assert error_of(tmp_path, corpus(made, "tsv", columns=columns)).key == "corpora.0.columns"
    with pytest.raises(ValueError, match="tsv and wikimatrix"):
        CorpusConfig(name="c", format="moses", path="x", columns=["en", "de"])


def test_an_extra_tab_does_not_shift_a_line(tmp_path):
    rows = [f"{i}\t{a}\t{b}" for i, (a, b) in enumerate(PAIRS)]
    made = tsv(tmp_path / "a.tsv", [*rows, "9\tOne\ttwo\tthree\tfour"])
    assert read(tmp_path, corpus(made, "tsv")) == PAIRS


@pytest.mark.parametrize(
    ("name", "target", "first"),
    [
        ("WikiMatrix.de-en.tsv.gz", "de", False),
        ("WikiMatrix.en-es.tsv.gz", "es", True),
        ("de-en.tsv", "de", False),
        ("ted_de-en_v2.tsv", "de", False),
        ("en-zh_CN.tsv", "zh", True),
        ("zh_CN-en.tsv", "zh", False),
        ("zh_cn-en.tsv", "zh_TW", True),
        ("well-en.tsv", "de", True),
        ("deu-eng.tsv", "de", False),
        ("de-en/news.tsv", "de", True),
        ("de.tsv", "de", True),
    ],
)
def test_order_of_the_file_name(name, target, first):
    assert source_first(f"/data/{name}", ("en", target)) is first


def test_wikimatrix_is_ordered_by_its_file_name(tmp_path):
    for language, lines in (("de", GERMAN), ("es", SPANISH)):
        pair = "-".join(sorted(("en", language)))
        sides = {"en": many(ENGLISH), language: many(lines)}
        rows = [f"1.2\t{a}\t{b}" for a, b in zip(*(sides[x] for x in pair.split("-")), strict=True)]
        (tmp_path / f"WikiMatrix.{pair}.tsv.gz").write_bytes(gzip.compress(text(rows)))
        item = {"name": "c", "format": "wikimatrix", "path": str(tmp_path / "WikiMatrix.{pair}.tsv.gz")}
        report = ingest(config([item], language), language, tmp_path / language)
        assert report.corpora["c"].num_quarantined == 0
        row = rows_of(tmp_path / language, report)[0]
        assert (row["source"], row["target"]) == (many(ENGLISH)[0], many(lines)[0])


def test_swapped_sides_stop_with_a_remedy_that_works(tmp_path):
    english, german = many(ENGLISH), many(GERMAN)
    made = tsv(tmp_path / "a.tsv", [f"{i}\t{b}\t{a}" for i, (a, b) in enumerate(zip(english, german, strict=True))])
    error = error_of(tmp_path, corpus(made, "tsv"))
    assert "the sides look swapped" in error.problem and error.remedy == "set corpora.0.columns=[id, target, source]"
    columns = error.remedy.partition("=")[2].strip("[]").split(", ")
    assert read(tmp_path, corpus(made, "tsv", columns=columns), n=1) == [(english[0], german[0])]

    archive = moses(tmp_path / "a.zip", text(german), text(english))
    assert "the sides look swapped" in error_of(tmp_path, corpus(archive, "moses")).problem
    for name, lines in (("a.en", german), ("a.de", english)):
        (tmp_path / name).write_bytes(text(lines))
    item = corpus(tmp_path / "a.en", "lines", target_path=str(tmp_path / "a.de"))
    error = error_of(tmp_path, item)
    assert "the sides look swapped" in error.problem and "exchange" in error.remedy
    item = corpus(tmp_path / "a.de", "lines", target_path=str(tmp_path / "a.en"))
    assert read(tmp_path / "b", item, n=1) == [(english[0], german[0])]


def test_sampled_corpora_are_checked_too(tmp_path):
    made = tsv(tmp_path / "a.tsv", [f"{i}\t{b}\t{a}" for i, (a, b) in enumerate(PAIRS * 20)])
    with pytest.raises(UserError, match="the sides look swapped"):
        ingest(config([corpus(made, "tsv")], max_pairs_per_language=80), "de", tmp_path / "out")


def test_a_wrong_script_stops(tmp_path):
    made = moses(tmp_path / "a.zip", text(many(ENGLISH)), text(many(GERMAN)), suffix="zh")
    error = error_of(tmp_path, corpus(made, "moses"), "zh")
    assert "60 of 60 lines are Latin" in error.problem and "wrong script for Chinese" in error.problem
    made = moses(tmp_path / "b.zip", text(many(CHINESE)), text(many(ENGLISH)), suffix="zh")
    assert "the sides look swapped" in error_of(tmp_path, corpus(made, "moses"), "zh").problem


def judge(source: list[str], target: list[str], *languages: str):
    check = LanguageCheck(languages)
    check.add(pa.array(source), pa.array(target))
    return check.verdict()


def test_weaker_evidence_is_a_warning():
    third = judge(many(ENGLISH), many(SPANISH), "en", "de")
    assert third.problem is None and "look like Spanish" in third.warnings[0]
    same = judge(many(ENGLISH), many(ENGLISH), "en", "de")
    assert same.problem is None and "look like English" in same.warnings[0]
    few = judge(GERMAN[:2], ENGLISH[:2], "en", "de")
    assert few.problem is None and "may be swapped" in few.warnings[-1]
    # `se` is Northern Sami; Swedish is `sv`.
    swedish = ["Kommunfullmäktige träffades på tisdagen för att diskutera den nya budgeten."]
    sami = judge(many(ENGLISH), many(swedish), "en", "se")
    assert sami.problem is None and "Swedish (`sv`)" in sami.warnings[0] and "Northern Sami" in sami.warnings[0]


def test_right_corpora_have_no_warning():
    for language, lines in (("de", GERMAN), ("es", SPANISH), ("zh", CHINESE), ("zh_TW", TRADITIONAL)):
        for n in (3, 60):
            assert judge(many(ENGLISH, n), many(lines, n), "en", language) == judge([], [], "en", language)
    short = judge(
        ["Yes.", "No.", "- Anna!", "1995", "..."] * 20, ["Ja.", "Nein.", "- Anna!", "1995", "..."] * 20, "en", "de"
    )
    assert short.problem is None
    serbian = ["Градско веће се састало у уторак.", "Gradsko veće se sastalo u utorak."]
    assert judge(many(ENGLISH), many(serbian), "en", "sr").problem is None
    assert "wrong script" in judge(many(ENGLISH), many(serbian[:1]), "en", "sr_Latn").problem


def test_long_latin_names_in_another_script_are_right():
    drugs = ["Zolveridine を Ostrameq-Forte と一緒に出荷している。", "我们现在把 Zolveridine Ostrameq 发货。"]
    assert judge(many(ENGLISH), many(drugs[:1]), "en", "ja").problem is None
    assert judge(many(ENGLISH), many(drugs[1:]), "en", "zh").problem is None


def test_scripts_that_share_characters():
    japanese = ["市議会は火曜日に新しい予算について話し合った。", "彼女はパンを二つと牛乳を一本買った。"]
    korean = ["시의회는 화요일에 새 예산을 논의했다.", "그녀는 빵 두 개와 우유 한 병을 샀다."]
    for one, other, codes in ((japanese, CHINESE, ("ja", "zh")), (korean, japanese, ("ko", "ja"))):
        assert judge(many(one), many(other), *codes).problem is None
        assert judge(many(other), many(one), *codes).swapped


def test_traditional_chinese_is_reported_as_zh(tmp_path):
    made = moses(tmp_path / "a.zip", text(many(ENGLISH)), text(many(TRADITIONAL)), suffix="zh")
    assert len(read(tmp_path, corpus(made, "moses"), "zh")) == 60
    (note,) = read.notes
    assert note.startswith("warning: 60 of 60 target lines are Traditional Chinese") and "`zh_TW`" in note
    assert "Simplified" in judge(many(ENGLISH), many(CHINESE), "en", "zh_TW").warnings[0]


def test_variants_of_archives_are_selected_explicitly(tmp_path):
    made = moses(tmp_path / "a.zip", text(many(ENGLISH)), text(many(TRADITIONAL)), suffix="zh_tw")
    error = error_of(tmp_path, corpus(made, "moses"), "zh")
    assert "zh_TW" in error.remedy
    assert len(read(tmp_path, corpus(made, "moses"), "zh_TW")) == 60 and read.notes == []
    made = moses(tmp_path / "b.zip", b"a\n", b"b\n", suffix="de_AT")
    assert read(tmp_path / "b", corpus(made, "moses")) == [("a", "b")]
    assert read.notes == ["`de` is read from the variant de_AT"]


def test_variants_of_tmx_are_selected_explicitly_and_counted(tmp_path):
    units = unit("a", "b", "pt-BR") * 3 + unit("c", "d", "pt_PT") + unit("e", "f", "fr")
    made = tmx(tmp_path / "a.tmx", units.replace('"en"', '"EN-us"'))
    assert len(read(tmp_path, corpus(made, "tmx"), "pt")) == 2
    assert read.notes == ["`en` is read from the variants EN-us 5", "`pt` is read from the variants pt-BR 3, pt_PT 1"]
    report = ingest(config([corpus(made, "tmx")], "pt_BR"), "pt_BR", tmp_path / "br")
    assert [row["target"] for row in rows_of(tmp_path / "br", report)] == ["b"]
    with pytest.raises(UserError, match="has no text in `pt_AO`") as e:
        ingest(config([corpus(made, "tmx")], "pt_AO"), "pt_AO", tmp_path / "ao")
    assert e.value.key == "corpora.0.path" and "`pt_BR`" in e.value.remedy


def test_a_unit_with_several_variants_prefers_the_plain_language(tmp_path):
    segments = [("en", "a"), ("pt-BR", "Brasil"), ("pt", "Portugal"), ("pt-AO", "Angola")]
    body = "".join(f'<tuv xml:lang="{x}"><seg>{seg}</seg></tuv>' for x, seg in segments)
    made = tmx(tmp_path / "a.tmx", f"<tu>{body}</tu>")
    assert read(tmp_path, corpus(made, "tmx"), "pt") == [("a", "Portugal")]


def test_parquet_columns_in_any_spelling(tmp_path):
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"en-US": ["a"], "zh-TW": ["b"], "zh_CN": ["c"]}), tmp_path / "a.parquet")
    assert read(tmp_path, corpus(tmp_path / "a.parquet", "parquet"), "zh") == [("a", "c")]
    assert read(tmp_path / "t", corpus(tmp_path / "a.parquet", "parquet"), "zh_TW") == [("a", "b")]
