"""How much of a labeling a plan counts as done, and on which GPUs a run continues."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
import pytest

from xner_ray.config import Config
from xner_ray.labeling.shard_descriptor import ShardDescriptor
from xner_ray.pipeline.context import Context
from xner_ray.pipeline.executors import InProcess
from xner_ray.pipeline.stage import Piece, PieceDir
from xner_ray.pipeline.stages import label as label_stage
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


@pytest.mark.parametrize(
    ("committed", "settings", "kind"),
    [({}, {}, "V100"), ({"precision": "bf16", "accelerator_type": "A100"}, {}, "A100"),
     ({"precision": "bf16"}, {}, "V100"),  # of an older version
     ({"precision": "bf16", "accelerator_type": "H100"}, {}, "V100"),
     ({"precision": "bf16", "accelerator_type": "A100"}, {"accelerator_type": "V100"}, "V100")],
)  # fmt: skip
def test_a_run_continues_on_the_kind_of_gpu_of_its_shards(tmp_path, monkeypatch, committed, settings, kind):
    ctx, _ = labeling(tmp_path, **settings)
    types = {"V100": 8, "A100": 1}
    nodes = [{"CPU": 32.0, "GPU": float(gpus), f"accelerator_type:{name}": 1.0} for name, gpus in types.items()]
    monkeypatch.setattr(type(ctx.executor), "nodes", lambda self: nodes)
    seen = []

    def stop(config, pools, shards, job, log):
        seen.append((pools.accelerator_type, job.models.precision))
        raise KeyboardInterrupt

    monkeypatch.setattr(label_stage, "check_labeling", stop)
    models, shards = (
        label_stage._Models({"de": "teacher"}, "aligner"),
        [ShardDescriptor("de-0", "de", "file", 1, "hash")],
    )
    with pytest.raises(KeyboardInterrupt):
        Label()._label(ctx, models, shards, "store", 1, committed)
    assert seen == [(kind, committed.get("precision", "auto"))]
