"""A run over collections that grow: shards of earlier nights stay, books add up, withdrawn pairs are known."""

from __future__ import annotations

import zipfile

import pyarrow.parquet as pq
import pytest

from xner_ray.config import Config, IngestConfig
from xner_ray.pipeline.context import Run
from xner_ray.pipeline.stages.dataset import books, left_out
from xner_ray.pipeline.stages.ingest import founding_shards, ingest_all, shard_descriptors, shard_folder


def run_over(tmp_path, numbers: range, name: str = "a") -> Run:
    """One corpus of these numbers, with a line that cannot be used."""
    with zipfile.ZipFile(tmp_path / name, "w") as archive:
        lines = [*(f"{x}" for x in numbers), ""]
        # Entries of 1980: the same lines are the same bytes.
        english, german = zipfile.ZipInfo("N.en"), zipfile.ZipInfo("N.de")
        archive.writestr(english, "".join(f"{x} bird\n" if x else "\n" for x in lines))
        archive.writestr(german, "".join(f"{x} Vogel\n" for x in lines))
    corpora = [{"name": "a", "domain": "zoo", "format": "moses", "path": str(tmp_path / name)}]
    rules = {"max_pairs_per_language": None, "shard_rows": 16, "incremental": True}
    config = Config(
        name="t", out=str(tmp_path / "out"), languages=["de"], gold=[{"path": "g"}], corpora=corpora, ingest=rules
    )
    return Run(config, log=lambda line: None)


def test_only_what_is_new_makes_shards(ray_session, tmp_path):
    first = run_over(tmp_path, range(40))
    founding = shard_descriptors(first)
    assert [d.rows for d in founding] == [16, 16, 8] and founding_shards(first) == founding
    assert not left_out(first, "de")

    second = run_over(tmp_path, range(3, 50))
    shards = shard_descriptors(second)
    assert shards[:3] == founding and [d.rows for d in shards[3:]] == [10]
    assert founding_shards(second) == founding
    assert len({d.shard for d in shards}) == 4
    texts = pq.read_table(shards[3].path)["target"].to_pylist()
    assert texts == [f"{x} Vogel" for x in range(40, 50)]
    assert len(left_out(second, "de").withdrawn) == 3

    total = books(second, {}).to_json()
    assert total["read"] == 41 + 48 and total["dropped"]["duplicate"] == 37 and total["quarantined"] == 2
    assert set(books(second, {}).by("domain")) == {"zoo"}

    third = run_over(tmp_path, range(3, 50))
    assert shard_descriptors(third) == shards and ingest_all(third)["de"].made_from["generation"] == 2
    assert shard_folder(third, "de") == tmp_path / "out" / "corpus" / "de"


def test_it_takes_every_pair():
    with pytest.raises(ValueError, match="takes every pair"):
        IngestConfig(max_pairs_per_language=10, incremental=True)
    assert "incremental" not in IngestConfig(max_pairs_per_language=None, incremental=True).fingerprint()
