"""How much of a labeling a plan counts as done."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
import pytest

from xner_ray.config import Config
from xner_ray.pipeline.context import Context
from xner_ray.pipeline.executors import InProcess
from xner_ray.pipeline.stage import Piece, PieceDir
from xner_ray.pipeline.stages.label import Label
from xner_ray.storage.shard_store import ShardStore
from xner_ray.storage.stage_dir import StageDir

SHARDS = {f"de-{i}": "hash" for i in range(4)}


def labeling(tmp_path, **label):
    config = Config(
        name="t",
        out=str(tmp_path / "out"),
        languages=["de"],
        gold=[{"path": "g"}],
        corpora=[{"name": "a", "format": "moses", "path": "a"}],
        label=label,
    )
    ctx = replace(Context.open(config, log=lambda line: None, executor=InProcess()), offline=True)
    return ctx, PieceDir(Piece("", {}, items=SHARDS), StageDir.of(ctx.out, "label", {}))


def test_committed_shards_of_a_stopped_labeling_are_done(tmp_path):
    ctx, piece = labeling(tmp_path)
    assert Label().part_done(ctx, piece) == 0
    piece.dir.create()
    for shard in ("de-0", "de-1", "de-2"):
        ShardStore(piece.path).commit(shard, pa.table({"x": [1]}), "hash")
    assert Label().part_done(ctx, piece) == pytest.approx(0.75)
    (piece.path / ShardStore(piece.path).committed()["de-1"].file).unlink()
    ctx.forget_listing(piece.path)
    assert Label().part_done(ctx, piece) == pytest.approx(0.5)


def test_how_many_shards_an_object_store_has_is_not_known(tmp_path):
    ctx, piece = labeling(tmp_path, output_uri="s3://bucket/prefix")
    assert Label().part_done(ctx, piece) == 0
    piece.dir.create()
    assert Label().part_done(ctx, piece) is None
