"""The stage `dataset` in Ray tasks: the same file as in one process, and a damaged shard is named and made again."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.harness.projection_rows import aligned, row
from xner_ray.config import DatasetConfig, RayConfig, RulesConfig
from xner_ray.errors import UserError
from xner_ray.pipeline.context import Context
from xner_ray.pipeline.executors import InProcess, RayExecutor
from xner_ray.pipeline.stages.dataset import sample_filtered
from xner_ray.pipeline.stages.filter import Filtered
from xner_ray.projection.filters import assign_verdicts
from xner_ray.projection.ledger import Ledger
from xner_ray.storage.shard_store import ShardStore


class Executes(Context):
    """A context that has nothing but an executor."""

    def __init__(self, executor):
        self.executor = executor


def filtered(path: Path, shards: int = 40, rows: int = 50) -> Filtered:
    store, ledger = ShardStore(path), Ledger()
    for s in range(shards):
        made = [
            row(
                "Bonn",
                f"In Bonn, {s} {i}.",
                [(0, 4, "LOC")],
                [(0, 3, 7)],
                corpus="a",
                domain="d",
                pair_id=s * rows + i,
            )
            for i in range(rows)
        ]
        table = assign_verdicts(aligned(made), RulesConfig())
        ledger.count_verdicts(table)
        store.commit(f"de-{s:05d}", table, "input")
    return Filtered(path, store.committed(), {}, ledger)


def test_tasks_on_ray_write_the_same_file_and_note_a_damaged_shard(ray_session, tmp_path):
    shards, settings = filtered(tmp_path / "filter"), DatasetConfig(max_sentences=100, no_entity_ratio=0)
    here, there = Executes(InProcess()), Executes(RayExecutor(RayConfig(), tmp_path, lambda line: None))
    summary = sample_filtered(here, shards, "de", tmp_path / "here.parquet", settings, 1)
    assert sample_filtered(there, shards, "de", tmp_path / "there.parquet", settings, 1) == summary
    assert (tmp_path / "here.parquet").read_bytes() == (tmp_path / "there.parquet").read_bytes()
    assert len(pq.read_table(tmp_path / "there.parquet")) == 100 and summary["available"] == 2000

    damaged = shards.path / shards.manifests["de-00033"].file
    data = bytearray(damaged.read_bytes())
    data[len(data) // 2] ^= 1
    damaged.write_bytes(data)
    with pytest.raises(UserError) as e:
        sample_filtered(there, shards, "de", tmp_path / "again.parquet", settings, 1)
    assert str(e.value.file) == str(damaged) and e.value.key == "de-00033" and "xner run" in e.value.remedy
    assert ShardStore(shards.path).damaged(shards.manifests) == ["de-00033"]
    assert not (tmp_path / "again.parquet").exists()
