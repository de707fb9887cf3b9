"""Ingest of good corpora: the right pairs, the same bytes each time, and complete output or none."""

from __future__ import annotations

import gzip
import hashlib
import shutil
from html import escape
from itertools import pairwise

import pytest

from tests.harness.corpus_files import (
    GOOD,
    check_ledger,
    config,
    corpus,
    good_moses,
    moses,
    rows_of,
    text,
    tmx,
    tsv,
    unit,
)
from xner_ray.corpora.ingest import ingest
from xner_ray.errors import UserError


def pairs_of(out, report) -> list[tuple[str, str]]:
    return [(row["source"], row["target"]) for row in rows_of(out, report)]


def make(tmp_path, format: str) -> dict:
    """GOOD in one format."""
    path = tmp_path / format
    if format == "moses":
        good_moses(path)
    elif format == "tsv":
        tsv(path, [f"id-{i}\t{a}\t{b}" for i, (a, b) in enumerate(GOOD)])
    elif format == "wikimatrix":
        tsv(path, [f"1.{i + 10}\t{a}\t{b}" for i, (a, b) in enumerate(GOOD)])
    elif format == "tmx":
        tmx(path, "".join(unit(a, b) for a, b in GOOD))
        path.write_bytes(gzip.compress(path.read_bytes()))
    else:
        path.write_bytes(b"\xef\xbb\xbf" + text([a for a, _ in GOOD]))
        (tmp_path / "target").write_bytes(text([b for _, b in GOOD]).replace(b"\n", b"\r\n"))
        return corpus(path, format, target_path=str(tmp_path / "target"))
    return corpus(path, format)


@pytest.mark.parametrize("format", ["moses", "tsv", "wikimatrix", "tmx", "lines"])
def test_every_format_gives_the_same_pairs_in_order(tmp_path, format):
    report = ingest(config([make(tmp_path, format)]), "de", tmp_path / "out")
    assert pairs_of(tmp_path / "out", report) == GOOD
    assert [row["pair_id"] for row in rows_of(tmp_path / "out", report)] == list(range(40))
    assert [shard.rows for shard in report.shards] == [16, 16, 8]
    check_ledger(tmp_path / "out", report)


@pytest.mark.parametrize("format", ["moses", "tsv", "tmx"])
def test_escapes_are_decoded_and_tags_removed_before_shards_are_written_and_counted(tmp_path, format):
    pairs = [
        ("AT&amp;T pays O&apos;Brien", "AT&amp;T zahlt"),
        ("{\\an8}Anna", "<i>Anna</i>"),
        ("Wien", "<i></i>"),
        GOOD[0],
    ]
    path = tmp_path / format
    if format == "moses":
        good_moses(path, pairs)
    elif format == "tsv":
        tsv(path, [f"{i}\t{a}\t{b}" for i, (a, b) in enumerate(pairs)])
    else:  # as the first unit was escaped twice
        tmx(path, "".join(unit(escape(a), escape(b)) for a, b in pairs))
    report = ingest(config([corpus(path, format)]), "de", tmp_path / "out")
    assert pairs_of(tmp_path / "out", report) == [("AT&T pays O'Brien", "AT&T zahlt"), ("Anna", "Anna"), GOOD[0]]
    count = report.corpora["c"]
    assert (count.unescaped, count.untagged, count.quarantined) == (1, 1, {"empty_target": 1})
    check_ledger(tmp_path / "out", report)


def test_second_call_reads_nothing(tmp_path):
    made, out = config([make(tmp_path, "moses")]), tmp_path / "out"
    report = ingest(made, "de", out)
    for shard in report.shards:
        assert hashlib.sha256((out / shard.file).read_bytes()).hexdigest() == shard.sha256
    (tmp_path / "moses").unlink()
    assert ingest(made, "de", out) == report


def test_output_of_another_config_is_an_error(tmp_path):
    item = make(tmp_path, "moses")
    ingest(config([item]), "de", tmp_path / "out")
    with pytest.raises(UserError, match="another config") as caught:
        ingest(config([item], max_chars=9), "de", tmp_path / "out")
    assert caught.value.key == "ingest"


def test_sample_is_deterministic_fair_and_mixed(tmp_path):
    many = [(f"many {i}", f"viele {i}") for i in range(500)]
    items = [
        corpus(good_moses(tmp_path / f"{n}.zip", p), "moses", n) for n, p in (("small", GOOD[:20]), ("many", many))
    ]
    first = ingest(config(items, max_pairs_per_language=100), "de", tmp_path / "a")
    again = ingest(config(items, max_pairs_per_language=100), "de", tmp_path / "b")
    assert first == again  # shards are compared by their hashes
    assert {n: c.sampled for n, c in first.corpora.items()} == {"small": 20, "many": 80}
    check_ledger(tmp_path / "a", first)
    names = [row["corpus"] for row in rows_of(tmp_path / "a", first)]
    assert [names[at : at + 20].count("small") for at in (0, 20, 40)] == [10, 10, 0]  # as in a sample of each size
    turned = ingest(config(items[::-1], max_pairs_per_language=100), "de", tmp_path / "c")
    assert sorted(pairs_of(tmp_path / "c", turned)) == sorted(pairs_of(tmp_path / "a", first))
    other = config(items, max_pairs_per_language=100)
    other.seed = 2
    assert set(pairs_of(tmp_path / "d", ingest(other, "de", tmp_path / "d"))) != set(pairs_of(tmp_path / "a", first))


def test_exact_duplicates_in_a_sample_are_dropped(tmp_path):
    items = [corpus(good_moses(tmp_path / f"{n}.zip"), "moses", n) for n in ("first", "second")]
    report = ingest(config(items, max_pairs_per_language=1000), "de", tmp_path / "out")
    assert sorted(pairs_of(tmp_path / "out", report)) == sorted(GOOD)
    first, second = report.corpora.values()
    assert (first.rows, second.rows) == (second.duplicates, first.duplicates) and first.rows + second.rows == 40
    check_ledger(tmp_path / "out", report)


@pytest.mark.parametrize("weights", [(1, 1, 1), (3, 1, 2)])
def test_a_sample_has_the_shards_of_a_larger_one_but_its_last(tmp_path, weights):
    pairs = {name: [(f"{name} {i}", f"viele {name} {i}") for i in range(300)] for name in ("a", "b")}
    pairs["a"][::7] = [("", "leer")] * len(pairs["a"][::7])  # quarantined
    pairs["c"] = pairs["a"][150:300] + GOOD  # duplicates of another corpus, and fewer pairs than its quota
    items = [
        corpus(good_moses(tmp_path / f"{n}.zip", p), "moses", n, weight=w)
        for (n, p), w in zip(pairs.items(), weights, strict=True)
    ]
    reports = [ingest(config(items, max_pairs_per_language=n), "de", tmp_path / str(n)) for n in (100, 260, 600)]
    for small, large in pairwise(reports):
        shared = sum(a == b for a, b in zip(small.shards, large.shards, strict=False))
        assert shared >= len(small.shards) - 2 + (len(set(weights)) == 1) and shared > 2


def test_pairs_below_min_score_are_left_out(tmp_path):
    made = moses(tmp_path / "a.zip", b"a\nb\nc\n", b"A\nB\nC\n", b"0.5\n1.5\n1.0\n")
    report = ingest(config([corpus(made, "moses", min_score=1.0)]), "de", tmp_path / "out")
    assert [(row["source"], row["corpus_score"]) for row in rows_of(tmp_path / "out", report)] == [
        ("b", 1.5),
        ("c", 1.0),
    ]
    assert report.corpora["c"].below_score == 1
    check_ledger(tmp_path / "out", report)


def test_text_is_stripped_and_line_breaks_become_spaces(tmp_path):
    made = moses(tmp_path / "a.zip", " a\u2028\rb\u3000\n".encode(), "\u00a0x  y\u0085z\r\n".encode())
    report = ingest(config([corpus(made, "moses")]), "de", tmp_path / "out")
    assert pairs_of(tmp_path / "out", report) == [("a b", "x  y z")]


def test_tmx_markup_entities_and_regions_are_read(tmp_path):
    path = tmp_path / "a.tmx"
    units = unit("A <bpt i='1'>{b}</bpt><hi>bold</hi><ph/> &lt;R&amp;D&gt;&nbsp;x &odd;", "Ein\nText", "DE_AT")
    path.write_text(f'<!DOCTYPE tmx SYSTEM "tmx14.dtd"><tmx><body>{units}</body></tmx>')
    report = ingest(config([corpus(path, "tmx")]), "de", tmp_path / "out")
    assert pairs_of(tmp_path / "out", report) == [("A bold <R&D>\u00a0x &odd;", "Ein Text")]


@pytest.mark.parametrize("suffix", ["zh", "zh_CN", "zh_cn", "zh-CN"])
def test_chinese_suffixes_are_known(tmp_path, suffix):
    made = moses(tmp_path / "a.zip", b"a\n", "中\n".encode(), suffix=suffix)
    report = ingest(config([corpus(made, "moses")], language="zh"), "zh", tmp_path / "out")
    assert pairs_of(tmp_path / "out", report) == [("a", "中")]


def test_fsspec_url_is_read(tmp_path):
    import fsspec

    memory = fsspec.filesystem("memory")
    memory.pipe("/corpora/a.zip", good_moses(tmp_path / "a.zip").read_bytes())
    try:
        item = corpus("memory://corpora/a.zip", "moses")
        item["path"] = "memory://corpora/a.zip"
        report = ingest(config([item]), "de", tmp_path / "out")
        assert pairs_of(tmp_path / "out", report) == GOOD
        item["path"] = "memory://corpora/b.zip"
        with pytest.raises(UserError, match="no such file"):
            ingest(config([item]), "de", tmp_path / "other")
    finally:
        memory.rm("/corpora", recursive=True)


def test_foreign_folder_is_not_changed(tmp_path):
    made, out = config([make(tmp_path, "moses")]), tmp_path / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("x")
    with pytest.raises(UserError) as e:
        ingest(made, "de", out)
    assert (e.value.file, e.value.key) == (out, "out")
    assert [p.name for p in out.iterdir()] == ["thesis.txt"]
    shutil.rmtree(out)
    out.mkdir()
    assert ingest(made, "de", out).rows == 40


def test_progress_counts_lines(tmp_path):
    seen = []
    ingest(config([make(tmp_path, "tsv")]), "de", tmp_path / "out", progress=lambda *x: seen.append(x))
    assert seen[-1] == ("c", 40)
