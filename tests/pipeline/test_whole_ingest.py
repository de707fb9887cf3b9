"""Every pair of a config's corpora, spread over Ray: the same bytes as in one process, and books that add up."""

from __future__ import annotations

import zipfile

import pytest

from xner_ray.config import Config
from xner_ray.corpora.ingest import ingest
from xner_ray.errors import UserError
from xner_ray.pipeline.context import Run
from xner_ray.pipeline.stages.dataset import books
from xner_ray.pipeline.stages.ingest import ingest_all, shard_descriptors, shard_folder, spread
from xner_ray.text.tags import parse_map


def config(tmp_path) -> Config:
    """Two corpora that share half of their pairs, with a line that cannot be used and one that a rule drops."""
    for name, numbers in (("a", range(40)), ("b", range(20, 60))):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            lines = [*(str(n) for n in numbers), "same", ""]
            archive.writestr("N.en", "".join(f"{x} bird\n" if x else "\n" for x in lines))
            archive.writestr("N.de", "".join(f"{x} {'bird' if x == 'same' else 'Vogel'}\n" for x in lines))
    corpora = [{"name": n, "format": "moses", "path": str(tmp_path / n)} for n in "ba"]
    rules = {"max_pairs_per_language": None, "shard_rows": 16, "clean": {}}
    return Config(
        name="t", out=str(tmp_path / "out"), languages=["de"], gold=[{"path": "g"}], corpora=corpora, ingest=rules
    )


def test_spread_over_ray_or_not(ray_session, tmp_path):
    made = config(tmp_path)
    run = Run(made, log=lambda line: None)
    report = ingest_all(run)["de"]
    alone = ingest(made, "de", tmp_path / "alone")
    assert report == alone  # shards are compared by their hashes
    assert [(n, c.rows, c.duplicates, c.turned_away, c.rejected) for n, c in report.corpora.items()] == [
        ("a", 40, 0, 1, 1),
        ("b", 20, 20, 1, 1),
    ]
    assert [d.rows for d in shard_descriptors(run)] == [
        16,
        16,
        8,
        12,
        8,
    ]  # a segment that lost nothing is taken over whole
    assert not (shard_folder(run, "de") / "staging").exists()
    total = books(run, {}).to_json()
    assert total["read"] == 84 and total["dropped"]["duplicate"] == 20
    assert total["dropped"]["identical_sides"] == 2 and total["quarantined"] == 2


def test_spread_keeps_the_order_and_raises_what_a_task_raised(ray_session):
    assert list(spread(abs, range(-20, 0))) == list(range(20, 0, -1))
    with pytest.raises(UserError, match="OLD=NEW"):
        list(spread(parse_map, ["a=b", "a"]))
