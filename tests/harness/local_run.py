"""All stages of a run in this process, without Ray. To start the processes of Ray takes longer than to train a small model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa

from xner_ray import schema
from xner_ray.config import Config
from xner_ray.labeling.shard_functions import AlignFunction, LabelFunction, LabelingModels
from xner_ray.pipeline.context import Context
from xner_ray.pipeline.executors import InProcess
from xner_ray.pipeline.pipeline import build_pipeline
from xner_ray.pipeline.runner import Runner
from xner_ray.pipeline.stages.label import Label
from xner_ray.storage.shard_store import ShardStore
from xner_ray.storage.verify import read_table
from xner_ray.workflows.run import finalize


class LabelHere(Label):
    """Labels the shards one after another with the functions of the actors."""

    def _label(self, ctx, models, shards, root, planned, committed) -> None:
        job = LabelingModels(models.teachers, models.aligner, ctx.config.source_language, False, 1024, "fp32", 1)
        functions = {schema.ENTITIES: LabelFunction(job), schema.PROJECTIONS: AlignFunction(job)}
        for shard in shards:
            table = read_table(shard.path, shard.input_hash)
            for field, function in functions.items():
                table = table.append_column(field, function(table, shard.language)[0])
            table = table.append_column(schema.FAULT, pa.nulls(len(table), pa.string()))
            ShardStore(root).commit(shard.shard, table, shard.input_hash)


def run_here(config: Config, log: Callable[[str], None]) -> dict[str, Any]:
    """Run all stages.

    Returns:
        the content of results.json.
    """
    ctx = Context.open(config, log=log, executor=InProcess(log=log))
    stages = [LabelHere() if stage.name == "label" else stage for stage in build_pipeline(config)]
    runner = Runner(ctx, stages)
    runner.run(list(runner.stages))
    return finalize(runner)
