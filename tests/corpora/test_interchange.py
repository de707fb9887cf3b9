"""Corpora of other tools: Parquet of Hugging Face, line files of OpusTools and OpusFilter, TMX of OpusTools."""

import gzip

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.harness.corpus_files import GOOD, config, corpus, rows_of, text, tmx, unit
from xner_ray.corpora.ingest import ingest
from xner_ray.errors import UserError


def read(tmp_path, *corpora):
    report = ingest(config(list(corpora)), "de", tmp_path / "out")
    return sorted((r["source"], r["target"]) for r in rows_of(tmp_path / "out", report)), report


TABLES = {
    "translation": lambda: {"translation": [{"en": a, "de": b} for a, b in GOOD]},
    "sides": lambda: {"source": [a for a, _ in GOOD], "target": [b for _, b in GOOD]},
    "languages": lambda: {"de": [b for _, b in GOOD], "en": [a for a, _ in GOOD], "other": [1] * len(GOOD)},
}


@pytest.mark.parametrize("shape", TABLES)
def test_parquet(tmp_path, shape):
    pq.write_table(pa.table(TABLES[shape]()), tmp_path / "c.parquet", row_group_size=7)
    pairs, report = read(tmp_path, corpus(tmp_path / "c.parquet", "parquet"))
    assert pairs == sorted(GOOD) and report.corpora["c"].read == len(GOOD)


def test_parquet_with_scores_and_missing_sides(tmp_path):
    sides = [
        {"en": "One bird sang.", "de": "Ein Vogel sang."},
        {"en": "Two birds sang.", "de": None},
        {"en": "x y", "de": "x y"},
    ]
    pq.write_table(pa.table({"translation": sides, "score": [0.9, 0.9, 0.1]}), tmp_path / "c.parquet")
    pairs, report = read(tmp_path, corpus(tmp_path / "c.parquet", "parquet", min_score=0.5))
    assert pairs == [("One bird sang.", "Ein Vogel sang.")]
    count = report.corpora["c"]
    assert (count.read, count.below_score, count.num_quarantined) == (3, 1, 1)


@pytest.mark.parametrize(("content", "problem"), [(b"no parquet", "as Parquet"), (None, "no pairs of en and de")])
def test_bad_parquet_is_an_error(tmp_path, content, problem):
    if content is None:
        pq.write_table(pa.table({"en": ["a"], "fr": ["b"]}), tmp_path / "c.parquet")
    else:
        (tmp_path / "c.parquet").write_bytes(content)
    with pytest.raises(UserError, match=problem):
        read(tmp_path, corpus(tmp_path / "c.parquet", "parquet"))


def test_line_files_of_opusfilter_and_opusread(tmp_path):
    """`opusfilter` writes one file per side, gzipped if its name ends in .gz; `opus_read -wm moses` writes plain files."""
    for name, pack in (("f.en.gz", gzip.compress), ("f.de.gz", gzip.compress), ("o.en", bytes), ("o.de", bytes)):
        side = 0 if ".en" in name else 1
        half = GOOD[:20] if name.startswith("f") else GOOD[20:]
        (tmp_path / name).write_bytes(pack(text([pair[side] for pair in half])))
    filtered = corpus(tmp_path / "f.en.gz", "lines", "filtered", target_path=str(tmp_path / "f.de.gz"))
    plain = corpus(tmp_path / "o.en", "lines", "plain", target_path=str(tmp_path / "o.de"))
    assert read(tmp_path, filtered, plain)[0] == sorted(GOOD)


def test_tmx_of_opusread(tmp_path):
    tmx(tmp_path / "o.tmx", "".join(unit(a, b) for a, b in GOOD))
    assert read(tmp_path, corpus(tmp_path / "o.tmx", "tmx"))[0] == sorted(GOOD)
