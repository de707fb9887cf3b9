"""Small corpora in every format, and the check that the counts of an ingest add up."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pyarrow.parquet as pq

from xner_ray.config import Config
from xner_ray.corpora.ingest_report import CorpusCount, IngestReport
from xner_ray.schema import PAIR, QUARANTINE

GOOD = [(f"Anna saw {i} birds.", f"Anna sah {i} Vögel.") for i in range(40)]


def config(corpora: list[dict], language: str = "de", **ingest) -> Config:
    keys = {"max_pairs_per_language": None, "shard_rows": 16, "max_quarantined": 1.0} | ingest
    return Config(name="t", out="out", languages=[language], gold=[{"path": "g"}], corpora=corpora, ingest=keys)


def corpus(path: Path, format: str, name: str = "c", **keys) -> dict:
    return {"name": name, "format": format, "path": str(path), **keys}


def text(lines: list[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


def moses(path: Path, source: bytes, target: bytes, scores: bytes | None = None, suffix: str = "de") -> Path:
    entries = {"README": b"a readme", "N.de-en.en": source, f"N.de-en.{suffix}": target}
    if scores is not None:
        entries["N.de-en.scores"] = scores
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in entries.items():
            # ZipInfo without a time, so that the same pairs give the same bytes.
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return path


def good_moses(path: Path, pairs: list[tuple[str, str]] = GOOD) -> Path:
    return moses(path, text([a for a, _ in pairs]), text([b for _, b in pairs]))


def tsv(path: Path, rows: list[str]) -> Path:
    path.write_bytes(text(rows))
    return path


def tmx(path: Path, units: str) -> Path:
    path.write_text(f'<?xml version="1.0"?>\n<tmx version="1.4"><header/><body>{units}</body></tmx>', "utf-8")
    return path


def unit(source: str, target: str, language: str = "de") -> str:
    sides = ((("en", source)), ((language, target)))
    return "<tu>" + "".join(f'<tuv xml:lang="{x}"><seg>{seg}</seg></tuv>' for x, seg in sides) + "</tu>\n"


def rows_of(out: Path, report: IngestReport) -> list[dict]:
    """All rows of the shards, in order."""
    tables = [pq.read_table(out / shard.file) for shard in report.shards]
    assert all(table.schema.equals(PAIR) for table in tables)
    assert [table.num_rows for table in tables] == [shard.rows for shard in report.shards]
    return [row for table in tables for row in table.to_pylist()]


def quarantine_of(out: Path) -> list[dict]:
    table = pq.read_table(out / "quarantine.parquet")
    assert table.schema.equals(QUARANTINE)
    return table.to_pylist()


def check_ledger(out: Path, report: IngestReport) -> None:
    """The files have as many rows as the report counts, and the counts add up."""
    rows, quarantined = rows_of(out, report), quarantine_of(out)
    for name, count in report.corpora.items():
        assert count.rows == sum(row["corpus"] == name for row in rows)
        assert count.num_quarantined == sum(row["corpus"] == name for row in quarantined)
        check_counts(count)


def check_counts(count: CorpusCount) -> None:
    assert count.sampled == count.rows + count.duplicates + count.num_dropped + count.num_quarantined
    not_sampled = count.read - count.below_score - count.sampled
    assert min(not_sampled, count.rows, count.duplicates) >= 0
