"""Every kind of broken corpus ends in a user error, or in quarantined rows with a reason and a count."""

from __future__ import annotations

import gzip
import zipfile

import pytest

from tests.harness.corpus_files import (
    GOOD,
    check_ledger,
    config,
    corpus,
    good_moses,
    moses,
    quarantine_of,
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
    assert error.key == "corpora.c.path" and "no such file" in error.problem
    error = fails(tmp_path, corpus(tmp_path / "a.en", "lines", target_path=str(tmp_path / "a.de")))
    assert error.key == "corpora.c.path"
    (tmp_path / "a.en").write_bytes(b"x\n")
    error = fails(tmp_path, corpus(tmp_path / "a.en", "lines", target_path=str(tmp_path / "a.de")))
    assert error.key == "corpora.c.target_path"


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
    assert fails(tmp_path, corpus(path, format, **other)).key == "corpora.c.path"


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
    assert fails(tmp_path, item).key == "corpora.c.min_score"


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
