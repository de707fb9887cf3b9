"""Every kind of broken corpus ends in a user error, or in quarantined rows with a reason and a count."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile

import pyarrow as pa
import pytest

from tests.harness.corpus_files import (
    GOOD,
    check_ledger,
    config,
    corpus,
    good_moses,
    moses,
    quarantine_of,
    rows_of,
    text,
    tmx,
    tsv,
    unit,
)
from xner_ray.corpora.ingest import ingest
from xner_ray.corpora.readers.archive import BOMB_BYTES
from xner_ray.errors import UserError


def fails(tmp_path, item: dict, **keys) -> UserError:
    """The error of ingesting one corpus. It has a file and a remedy, and no output is left."""
    with pytest.raises(UserError) as caught:
        ingest(config([item], **keys), "de", tmp_path / "out")
    assert not [p for p in tmp_path.iterdir() if "out" in p.name]
    assert caught.value.remedy and caught.value.file
    return caught.value


def reasons(tmp_path, item: dict, **keys) -> dict[str, int]:
    report = ingest(config([item], **keys), "de", tmp_path / "out")
    check_ledger(tmp_path / "out", report)
    return report.corpora["c"].quarantined


def test_missing_file_names_the_key(tmp_path):
    error = fails(tmp_path, corpus(tmp_path / "none.zip", "moses"))
    assert error.key == "corpora.0.path" and "no such file" in error.problem
    error = fails(tmp_path, corpus(tmp_path / "a.en", "lines", target_path=str(tmp_path / "a.de")))
    assert error.key == "corpora.0.path"
    (tmp_path / "a.en").write_bytes(b"x\n")
    error = fails(tmp_path, corpus(tmp_path / "a.en", "lines", target_path=str(tmp_path / "a.de")))
    assert error.key == "corpora.0.target_path"


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 0.99])
def test_truncated_zip_is_an_error(tmp_path, share):
    path = good_moses(tmp_path / "a.zip")
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    error = fails(tmp_path, corpus(path, "moses"))
    assert "not a zip" in error.problem and "a.zip" in str(error)


def test_damaged_entry_names_the_entry(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("N.de-en.en", text([a for a, _ in GOOD]))
        archive.writestr("N.de-en.de", text([b for _, b in GOOD]))
    data = bytearray(path.read_bytes())
    data[data.index(b"Anna sah")] ^= 1
    path.write_bytes(bytes(data))
    error = fails(tmp_path, corpus(path, "moses"))
    assert "CRC" in error.problem and str(error.file).endswith("a.zip!N.de-en.de")


@pytest.mark.parametrize("name", ["../N.de-en.en", "/etc/N.de-en.en", "a/../../b.en", "..\\N.en", "C:\\N.en"])
def test_entry_outside_of_the_archive_is_an_error(tmp_path, name):
    path = good_moses(tmp_path / "a.zip")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(name, b"x\n")
    assert "outside" in fails(tmp_path, corpus(path, "moses")).problem


def test_zip_bomb_stops_early(tmp_path):
    path, line = tmp_path / "a.zip", b"a" * 999 + b"\n"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for side in ("en", "de"):
            with archive.open(f"N.de-en.{side}", "w") as entry:
                for _ in range(BOMB_BYTES // 1_000_000 + 20):
                    entry.write(line * 1000)
    lines = []
    made = config([corpus(path, "moses")], max_pairs_per_language=10)
    with pytest.raises(UserError, match="bomb"):
        ingest(made, "de", tmp_path / "out", progress=lambda _, n: lines.append(n))
    assert max(lines) * 1000 <= BOMB_BYTES


def test_gzip_bomb_and_truncated_gzip_are_errors(tmp_path):
    path = tmp_path / "a.tsv.gz"
    path.write_bytes(gzip.compress((b"1\tx\ty" + b"z" * 994 + b"\n") * (BOMB_BYTES // 1000 + 9000)))
    assert "bomb" in fails(tmp_path, corpus(path, "tsv"), max_pairs_per_language=10).problem
    whole = gzip.compress(text([f"{i}\t{a}\t{b}" for i, (a, b) in enumerate(GOOD)]))
    path.write_bytes(whole[:-30])
    assert "truncated" in fails(tmp_path, corpus(path, "tsv")).problem


@pytest.mark.parametrize(("source", "target"), [(40, 39), (3, 40), (0, 5)])
def test_sides_of_unequal_length_give_both_counts(tmp_path, source, target):
    made = moses(tmp_path / "a.zip", text([a for a, _ in GOOD][:source]), text([b for _, b in GOOD][:target]))
    error = fails(tmp_path, corpus(made, "moses"))
    assert f"has {source}" in error.problem and f"has {target}" in error.problem
    assert error.line == min(source, target) + 1


def test_scores_of_unequal_length_are_an_error(tmp_path):
    made = moses(tmp_path / "a.zip", b"a\nb\n", b"A\nB\n", b"1.0\n")
    assert "scores has 1" in fails(tmp_path, corpus(made, "moses")).problem


def test_missing_language_lists_the_entries(tmp_path):
    made = moses(tmp_path / "a.zip", b"a\n", b"A\n", suffix="fr")
    assert "N.de-en.fr" in fails(tmp_path, corpus(made, "moses")).problem


def test_encrypted_zip_is_a_user_error(tmp_path):
    path = good_moses(tmp_path / "a.zip")
    data = bytearray(path.read_bytes())
    at = -1
    while (at := data.find(b"PK\x01\x02", at + 1)) >= 0:
        data[at + 8] |= 1  # the flag of encryption, in the central directory
    path.write_bytes(bytes(data))
    assert "a.zip!" in str(fails(tmp_path, corpus(path, "moses")).file)


def test_unusable_rows_are_counted_by_reason(tmp_path):
    source = [
        *(a.encode() for a, _ in GOOD),
        b"caf\xe9",
        b"",
        b"ok",
        b"w" * 50_000,
        b"nul\0",
        b" \xe2\x80\xa8 ",
        b"fine",
    ]
    target = [*(b.encode() for _, b in GOOD), b"Kaffee", b"leer", b"\t", b"lang", b"Null", b"nichts", b"\xed\xa0\x80"]
    made = moses(tmp_path / "a.zip", b"\n".join(source), b"\n".join(target))
    assert reasons(tmp_path, corpus(made, "moses")) == {
        "bad_utf8": 2,
        "control_character": 1,
        "empty_source": 2,
        "empty_target": 1,
        "too_long": 1,
    }
    rows = {row["pair_id"]: row for row in quarantine_of(tmp_path / "out")}
    assert rows[40]["reason"] == "bad_utf8" and rows[40]["excerpt"] == "caf\\xe9 | Kaffee"
    assert rows[44]["excerpt"] == "nul\\x00 | Null"
    assert all(len(row["excerpt"]) < 220 and row["stage"] == "ingest" for row in rows.values())


def test_missing_column_is_an_error_in_the_first_line_only(tmp_path):
    error = fails(tmp_path, corpus(tsv(tmp_path / "a.tsv", ["1\tonly source", "2\ta\tb"]), "tsv"))
    assert error.line == 1 and "2 of the columns" in error.problem
    made = tsv(tmp_path / "b.tsv", ["1\ta\tb", "2\tonly source", "", "4\tc\td"])
    assert reasons(tmp_path, corpus(made, "tsv")) == {"missing_column": 2}


@pytest.mark.parametrize("format", ["moses", "tsv", "tmx", "lines", "wikimatrix"])
def test_empty_corpus_is_an_error(tmp_path, format):
    path = tmp_path / "a"
    path.write_bytes(b"")
    if format == "moses":
        moses(path, b"", b"")
    other = {"target_path": str(path)} if format == "lines" else {}
    assert fails(tmp_path, corpus(path, format, **other)).key == "corpora.0.path"


def test_too_many_quarantined_rows_are_an_error(tmp_path):
    made = moses(tmp_path / "a.zip", b"a\nb\n\xff\n\n", b"A\nB\nC\nD\n")
    error = fails(tmp_path, corpus(made, "moses"), max_quarantined=0.4)
    assert "2 of 4" in error.problem and "bad_utf8 1, empty_source 1" in error.problem


def test_remedy_of_utf16_is_a_conversion(tmp_path):
    path = tmp_path / "a.tsv"
    path.write_bytes("1\ta\tb\n".encode("utf-16"))
    assert "iconv" in (fails(tmp_path, corpus(path, "tsv")).remedy or "")


def test_bad_scores_are_quarantined(tmp_path):
    scores = ["1.2", "0.9", "nan", "1e99", "one", "", " 1.05\r"]
    made = tsv(tmp_path / "a.tsv", [f"{s}\tsource {i}\ttarget {i}" for i, s in enumerate(scores)])
    assert reasons(tmp_path, corpus(made, "wikimatrix")) == {"bad_score": 3, "missing_score": 1}


def test_min_score_without_scores_is_an_error(tmp_path):
    item = corpus(good_moses(tmp_path / "a.zip"), "moses", min_score=1.0)
    assert fails(tmp_path, item).key == "corpora.0.min_score"


@pytest.mark.parametrize(
    ("units", "problem"),
    [
        ("<tu>", "not well-formed"),
        ("<a>" * 200, "nested"),
        ("&undefined;", "not well-formed"),
    ],
)
def test_broken_tmx_names_the_line(tmp_path, units, problem):
    error = fails(tmp_path, corpus(tmx(tmp_path / "a.tmx", unit("a", "b") + units), "tmx"))
    assert problem in error.problem and error.line == 3 and error.remedy


def test_tmx_entities_are_refused(tmp_path):
    path = tmp_path / "a.tmx"
    path.write_text('<!DOCTYPE tmx [<!ENTITY x SYSTEM "file:///etc/passwd">]><tmx>&x;</tmx>')
    assert "declares an entity" in fails(tmp_path, corpus(path, "tmx")).problem
    path.write_text('<?xml version="1.0" encoding="iso-8859-1"?><tmx/>')
    assert "iconv" in (fails(tmp_path, corpus(path, "tmx")).remedy or "")


def test_bad_tmx_units_are_quarantined(tmp_path):
    path = tmx(
        tmp_path / "a.tmx", unit("one", "eins") + unit("caf@", "Kaffee") + unit("x", "y", "fr") + unit("two", "zwei")
    )
    path.write_bytes(path.read_bytes().replace(b"@", b"\xe9"))
    assert reasons(tmp_path, corpus(path, "tmx")) == {"missing_column": 1, "bad_utf8": 1}


def pairs_and_reasons(tmp_path, path, **keys) -> tuple[list[tuple[str, str]], dict[str, int]]:
    report = ingest(config([corpus(path, "tmx")], **keys), "de", tmp_path / "out")
    check_ledger(tmp_path / "out", report)
    rows = sorted(rows_of(tmp_path / "out", report), key=lambda row: row["pair_id"])
    return [(row["source"], row["target"]) for row in rows], report.corpora["c"].quarantined


MALFORMED = {
    "bare ampersand": unit("R & D", "x"),
    "entity without a DTD": unit("a&nbsp;b", "x"),
    "vertical tab": unit("a\x0bb", "x"),
    "NUL": unit("a\0b", "x"),
    "noncharacter": unit("a\ufffeb", "x"),
    "character reference": unit("a&#11;b", "x"),
    "less than": unit("a < b", "x"),
    "open tag": unit("a <b>c", "x"),
    "wrong end tag": unit("a</b>c", "x"),
    "open comment": unit("a <!-- b", "x"),
    "open CDATA": unit("a <![CDATA[ b", "x"),
    "attribute without quotes": unit("a", "x").replace('"en"', "en"),
    "deep": unit("<b>" * 200 + "</b>" * 200, "x"),
    "no end of the unit": unit("a", "x").replace("</tu>", ""),
    "damaged start of the unit": unit("a", "x").replace("<tu>", "<t\x01u>"),
    "declaration": '<!DOCTYPE tmx [<!ENTITY e "x">]>' + unit("&e;", "x"),
}


DOCTYPE = '<!DOCTYPE tmx SYSTEM "tmx14.dtd">'
# A DTD may declare these entities.
NEEDS_NO_DTD = ("entity without a DTD", "declaration")


@pytest.mark.parametrize(
    ("name", "doctype"), [(x, d) for x in MALFORMED for d in ("", DOCTYPE) if not d or x not in NEEDS_NO_DTD]
)
def test_a_malformed_tmx_unit_is_one_quarantined_row(tmp_path, name, doctype):
    bad = MALFORMED[name]
    path = tmx(tmp_path / "a.tmx", unit("one", "eins") + bad + unit("two", "zwei") + bad + unit("three", "drei"))
    path.write_text(path.read_text().replace("<tmx ", doctype + "<tmx "))
    good = [("one", "eins"), ("two", "zwei"), ("three", "drei")]
    assert pairs_and_reasons(tmp_path, path) == (good, {"malformed_unit": 2})
    rows = [row for row in quarantine_of(tmp_path / "out") if row["reason"] == "malformed_unit"]
    assert [row["pair_id"] for row in rows] == [1, 3] and all("<seg>" in row["excerpt"] for row in rows)


def test_malformed_tmx_units_are_counted_in_a_sample(tmp_path):
    units = "".join(unit(a, b) + unit("R & D", "x") for a, b in GOOD)
    path = tmx(tmp_path / "a.tmx", units)
    pairs, counted = pairs_and_reasons(tmp_path, path, max_pairs_per_language=60)
    assert len(pairs) + counted["malformed_unit"] == 60 and counted["malformed_unit"] > 10


def test_tmx_units_without_segments_are_quarantined(tmp_path):
    units = "<tu/><tu></tu>" + unit("a", "x").replace("<seg>x</seg>", "") + unit("", "x") + unit("one", "eins")
    good, counted = pairs_and_reasons(tmp_path, tmx(tmp_path / "a.tmx", units))
    assert good == [("one", "eins")] and counted == {"missing_column": 3, "empty_source": 1}


@pytest.mark.parametrize(
    ("segment", "expected"),
    [
        ("Anna<ph/>Berlin", "Anna Berlin"),
        ("Anna<ph x='1'>&lt;br/&gt;</ph>Berlin", "Anna Berlin"),
        ("Anna <ph/>Berlin", "Anna Berlin"),
        ("Anna<ph/>, Berlin", "Anna, Berlin"),
        ("<ph/>Anna<ph/>", "Anna"),
        ("un<bpt i='1'>{b}</bpt>real<ept i='1'>{/b}</ept>", "unreal"),
    ],
)
def test_tmx_placeholders_separate_words(tmp_path, segment, expected):
    path = tmx(tmp_path / "a.tmx", unit(segment, "x"))
    assert pairs_and_reasons(tmp_path, path)[0] == [(expected, "x")]


def test_tmx_with_a_broken_header_and_two_documents_is_read(tmp_path):
    path = tmx(tmp_path / "a.tmx", unit("one", "eins"))
    path.write_text(path.read_text().replace("<header/>", "<header><note>R & D</note></header>"))
    other = tmx(tmp_path / "b.tmx", unit("two", "zwei"))
    path.write_bytes(path.read_bytes() + other.read_bytes())
    assert pairs_and_reasons(tmp_path, path) == ([("one", "eins"), ("two", "zwei")], {})


def test_truncated_tmx_with_malformed_units_is_an_error(tmp_path):
    path = tmx(tmp_path / "a.tmx", unit("one", "eins") + unit("R & D", "x") + unit("two", "zwei"))
    whole = path.read_bytes()
    for cut in (5, len("</body></tmx>") + 3, len("</body></tmx>") + 30):
        path.write_bytes(whole[:-cut])
        assert "truncated" in fails(tmp_path, corpus(path, "tmx")).problem


def test_malformed_units_cost_little(monkeypatch, tmp_path):
    """Memory stays flat, and parsing does not start over for each malformed unit."""
    from xner_ray.corpora.readers import tmx as reader
    from xner_ray.corpora.readers.archive import open_text

    data = tmx(tmp_path / "a.tmx", unit("R & D", "x" * 300) * 20_000).read_bytes()
    (tmp_path / "b.tmx").write_bytes(data)
    largest, parsed = 0, 0
    parse_piece = reader._Document.parse_piece

    def measured(self):
        nonlocal largest, parsed
        largest, parsed = max(largest, len(self.buffer)), parsed + 1
        return parse_piece(self)

    monkeypatch.setattr(reader._Document, "parse_piece", measured)
    with open_text(str(tmp_path / "b.tmx")) as stream:
        assert sum(sum(units.malformed) for units in reader.read_units(stream, "en", "de")) == 20_000
    assert largest < 2.5 * (1 << 20) < len(data) and parsed < 20_300


def zstd(data: bytes) -> bytes:
    return bytes(pa.Codec("zstd").compress(data, asbytes=True))


def zipped(data: bytes, name: str = "a.tmx", **others: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for entry, content in {name: data, **others}.items():
            archive.writestr(entry, content)
    return file.getvalue()


PACKED = {
    "gz": gzip.compress,
    "gz twice": lambda data: gzip.compress(data[:100]) + gzip.compress(data[100:]),
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": zstd,
    "zst frames": lambda data: zstd(data[:100]) + b"\x50\x2a\x4d\x18\x01\0\0\0x" + zstd(data[100:]),
    "zip": zipped,
    "zip with litter": lambda data: zipped(
        data, **{"__MACOSX/._a.tmx": b"x", "README.txt": b"r", ".DS_Store": b"d", "LICENSE": b"l"}
    ),
    "xz in zip": lambda data: zipped(lzma.compress(data), "a.tmx.xz"),
}


@pytest.mark.parametrize("packed", PACKED)
@pytest.mark.parametrize("format", ["tmx", "tsv"])
def test_compression_is_recognized_by_magic_bytes(tmp_path, packed, format):
    path = tmp_path / "file.txt"  # the name says nothing
    plain = tmx(path, "".join(unit(*pair) for pair in GOOD)) if format == "tmx" else tsv(path, LINES)
    path.write_bytes(PACKED[packed](plain.read_bytes()))
    report = ingest(config([corpus(path, format)]), "de", tmp_path / "out")
    assert [(row["source"], row["target"]) for row in rows_of(tmp_path / "out", report)] == GOOD
    check_ledger(tmp_path / "out", report)


LINES = [f"{i}\t{a}\t{b}" for i, (a, b) in enumerate(GOOD)]


@pytest.mark.parametrize("packed", ["gz", "bz2", "xz", "zst", "zip"])
def test_truncated_and_damaged_compressed_files_are_errors(tmp_path, packed):
    path, whole = tmp_path / "a.tsv", PACKED[packed](text([*LINES] * 200))
    path.write_bytes(whole[: len(whole) * 2 // 3])
    assert fails(tmp_path, corpus(path, "tsv")).remedy
    damaged = bytearray(whole)
    damaged[len(whole) // 2] ^= 0xFF
    path.write_bytes(bytes(damaged))
    assert fails(tmp_path, corpus(path, "tsv")).remedy


@pytest.mark.parametrize("packed", ["bz2", "xz", "zst"])
def test_bombs_of_all_codecs_stop_early(tmp_path, packed):
    path = tmp_path / "a.tsv"
    path.write_bytes(PACKED[packed]((b"1\tx\ty" + b"z" * 994 + b"\n") * (BOMB_BYTES // 1000 + 9000)))
    assert "bomb" in fails(tmp_path, corpus(path, "tsv"), max_pairs_per_language=10).problem


def tarred(data: bytes) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        info = tarfile.TarInfo("a.tsv")
        info.size = len(data)
        archive.addfile(info, io.BytesIO(data))
    return file.getvalue()


@pytest.mark.parametrize(
    ("pack", "what"),
    [
        (tarred, "tar"),
        (lambda data: gzip.compress(tarred(data)), "tar"),
        (lambda data: b"7z\xbc\xaf\x27\x1c" + data, "7z"),
        (lambda data: b"Rar!\x1a\x07\x01\x00" + data, "RAR"),
        (lambda data: gzip.compress(gzip.compress(data)), "twice"),
        (lambda data: zipped(data, "a.tsv", **{"b.tsv": data}), "2 files instead of one"),
        (lambda data: zipped(b"", "README"), "0 files instead of one"),
    ],
)
def test_other_archives_are_errors(tmp_path, pack, what):
    path = tmp_path / "a.tsv"
    path.write_bytes(pack(text(LINES)))
    assert what in fails(tmp_path, corpus(path, "tsv")).problem


def test_litter_in_a_moses_zip_is_ignored(tmp_path):
    path = good_moses(tmp_path / "a.zip")
    with zipfile.ZipFile(path, "a") as archive:
        for name in ("__MACOSX/N.de-en.en", "__MACOSX/N.de-en.de", "._N.de-en.en", "._N.de-en.de", "d/.DS_Store"):
            archive.writestr(name, b"x\n")
    assert reasons(tmp_path, corpus(path, "moses")) == {}


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_entries_of_one_name_are_refused(tmp_path):
    path = good_moses(tmp_path / "a.zip")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("N.de-en.de", b"x\n" * 40)
    assert "2 entries with the name `N.de-en.de`" in fails(tmp_path, corpus(path, "moses")).problem
