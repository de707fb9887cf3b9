"""Inputs of public bug reports of other tools: each is read right, or ends in an error whose remedy works."""

from __future__ import annotations

import subprocess
import zipfile

import pytest

from tests.harness.corpus_files import GOOD, check_ledger, config, corpus, moses, rows_of, text, tmx, tsv, unit
from xner_ray.corpora.ingest import ingest
from xner_ray.errors import UserError


def read(tmp_path, item: dict) -> tuple[list[tuple[str, str]], dict[str, int]]:
    report = ingest(config([item]), "de", tmp_path / "out")
    check_ledger(tmp_path / "out", report)
    rows = sorted(rows_of(tmp_path / "out", report), key=lambda row: row["pair_id"])
    return [(row["source"], row["target"]) for row in rows], report.corpora["c"].quarantined


def test_units_without_their_start_tag(tmp_path):
    """Helsinki-NLP/OpusTools issue 25: a blank line where `<tu>` belongs, throughout the file."""
    broken = '\n<tuv xml:lang="en"><seg>Why</seg></tuv>\n</tu>\n'
    path = tmx(tmp_path / "a.tmx", unit("one", "eins") + broken + unit("two", "zwei") + broken)
    assert read(tmp_path, corpus(path, "tmx")) == ([("one", "eins"), ("two", "zwei")], {"malformed_unit": 2})


def test_one_invalid_token_does_not_end_the_file(tmp_path):
    """Helsinki-NLP/OpusTools issue 12: `not well-formed (invalid token)` broke the whole pipeline."""
    path = tmx(tmp_path / "a.tmx", unit("one", "eins") + unit("\x02", "x") + unit("two", "zwei"))
    assert read(tmp_path, corpus(path, "tmx")) == ([("one", "eins"), ("two", "zwei")], {"malformed_unit": 1})


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le"])
def test_tmx_of_memoq_in_utf16(tmp_path, encoding):
    """modernmt/modernmt issue 293: the remedy converts it, and the declaration may stay."""
    path = tmx(tmp_path / "a.tmx", unit("one", "Käse"))
    content = path.read_text().replace('version="1.0"', 'version="1.0" encoding="utf-16"')
    path.write_bytes((b"\xff\xfe" if encoding == "utf-16-le" else b"") + content.encode(encoding))
    with pytest.raises(UserError) as e:
        read(tmp_path, corpus(path, "tmx"))
    command = (e.value.remedy or "").partition("convert it: ")[2]
    path.write_bytes(subprocess.run([*command.split(), str(path)], capture_output=True, check=True).stdout)
    assert read(tmp_path, corpus(path, "tmx"))[0] == [("one", "Käse")]


def test_tmx_without_units(tmp_path):
    """AlissaSabre/disfr issue 16."""
    with pytest.raises(UserError) as e:
        read(tmp_path, corpus(tmx(tmp_path / "a.tmx", ""), "tmx"))
    assert "holds no pair" in e.value.problem and e.value.remedy


def test_language_codes_in_capitals(tmp_path):
    """maxprograms-com/TMXValidator pull request 4: EN beside en."""
    path = tmx(tmp_path / "a.tmx", unit("one", "eins").replace('"en"', '"EN"').replace('"de"', '"DE-de"'))
    assert read(tmp_path, corpus(path, "tmx"))[0] == [("one", "eins")]


def test_a_gz_that_is_plain_text(tmp_path):
    """Helsinki-NLP/OpusFilter issue 75: opus_read wrote NAME.en.gz as plain text."""
    (tmp_path / "a.en.gz").write_bytes(text([a for a, _ in GOOD]))
    (tmp_path / "a.de.gz").write_bytes(text([b for _, b in GOOD]))
    item = corpus(tmp_path / "a.en.gz", "lines", target_path=str(tmp_path / "a.de.gz"))
    assert read(tmp_path, item)[0] == GOOD


def test_a_zip_of_macos(tmp_path):
    """lavr/python-emails issue 24 and quanteda/readtext issue 89: the reader chose `__MACOSX/._NAME`."""
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("__MACOSX/", b"")
        archive.writestr("__MACOSX/._a.tsv", b"\0\x05\x16\x07")
        archive.writestr("a.tsv", text([f"{i}\t{a}\t{b}" for i, (a, b) in enumerate(GOOD)]))
    assert read(tmp_path, corpus(path, "tsv"))[0] == GOOD


def test_empty_lines_on_one_side_keep_the_others_parallel(tmp_path):
    """stefan-it/nmt-en-vi issue 6 and clab/fast_align issue 62."""
    path = moses(tmp_path / "a.zip", b"one\n\ntwo\nthree\n", b"eins\nx\n\ndrei\n")
    pairs, counted = read(tmp_path, corpus(path, "moses"))
    assert pairs == [("one", "eins"), ("three", "drei")] and counted == {"empty_source": 1, "empty_target": 1}


def test_line_breaks_within_segments_do_not_shift_the_sides(tmp_path):
    """Helsinki-NLP/OpusTools pull request 30: QED has line feeds in segments."""
    path = tmx(tmp_path / "a.tmx", unit("one\nline", "eine\r\nZeile") + unit("two", "zwei"))
    assert read(tmp_path, corpus(path, "tmx"))[0] == [("one line", "eine Zeile"), ("two", "zwei")]


def test_quotes_in_tsv_do_not_merge_lines(tmp_path):
    """facebookresearch/pytext pull request 376: a quotation mark without its partner merged lines."""
    path = tsv(tmp_path / "a.tsv", ['1\t"Yes\t"Ja', '2\tNo"\tNein"', "3\tone\teins"])
    assert read(tmp_path, corpus(path, "tsv"))[0] == [('"Yes', '"Ja'), ('No"', 'Nein"'), ("one", "eins")]
