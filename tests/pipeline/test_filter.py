"""A task of the filter gives a shard its verdicts, and finds what an earlier try of it committed."""

from __future__ import annotations

import shutil
from functools import partial

import pyarrow as pa

from xner_ray import schema
from xner_ray.config import RulesConfig
from xner_ray.pipeline.stages.filter import filter_shard
from xner_ray.storage.shard_store import ShardStore


def test_a_task_whose_shard_is_committed_does_not_read_its_input(tmp_path):
    row = {
        "corpus": "c",
        "domain": "d",
        "language": "de",
        "pair_id": 1,
        "source": "a",
        "target": "b",
        "corpus_score": None,
    }
    rows = [{**row, "entities": [], "projections": [], "fault": fault} for fault in (None, "align: failed")]
    labeled = ShardStore(tmp_path / "labeled").commit("de-1", pa.Table.from_pylist(rows, schema=schema.ALIGNED), "in")
    task = partial(
        filter_shard,
        ("de-1-x", "de-1", labeled.sha256),
        root=str(tmp_path / "labeled"),
        rules=RulesConfig(),
        lacking={},
        held_out={},
        out=str(tmp_path / "filtered"),
    )
    num_rows, cells = task()
    shutil.rmtree(tmp_path / "labeled")
    assert (num_rows, cells) == task() and num_rows == 2
    verdicts = ShardStore(tmp_path / "filtered").read("de-1-x")["verdict"].to_pylist()
    assert verdicts == ["kept_no_entity", "quarantined"]
