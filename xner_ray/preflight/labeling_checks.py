"""What is looked at before the first shard runs, since each of these ends a run late, or never, in silence.

CPUs and GPUs that are free, room on the disk and in the object store, a store that can commit, and models that load and
answer in the precision they will run in.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pyarrow as pa

from xner_ray import schema
from xner_ray.config import Config
from xner_ray.errors import UserError
from xner_ray.labeling.actors import LabelingJob
from xner_ray.labeling.pools import Pools
from xner_ray.labeling.shard_descriptor import ShardDescriptor
from xner_ray.labeling.shard_functions import AlignFunction
from xner_ray.preflight.checks import check_gpu, check_precision, unplaced
from xner_ray.preflight.cluster import this_gpu
from xner_ray.storage.shard_store import ShardStore
from xner_ray.training.backends.nodes import nodes_up

PATIENCE = 60.0  # seconds in which the workers of a driver that died give back what they hold
GROWTH = 2.0  # a labeled shard against its input, in bytes of Parquet; measured 1.2 to 1.5
UNPACKED, CUT = (
    6.0,
    12.0,
)  # a shard in the object store against its file, and its pieces and words (13 bytes each) beside
IN_FLIGHT = 3  # shards that an actor and its queue hold

_NAMES = {"num_cpus": "CPU", "num_gpus": "GPU"}


def check_labeling(
    config: Config, pools: Pools, shards: list[ShardDescriptor], job: LabelingJob, log: Callable[[str], None]
) -> str:
    """Run all checks of this module.

    Args:
        config: checked config of the run.
        pools: actors of the graph.
        shards: that will be labeled.
        job: of the graph.
        log: gets lines while an autoscaler brings a node with a GPU.

    Returns:
        Precision and device of the models, for a log line.

    Raises:
        UserError: a check failed.
    """
    import ray

    ShardStore(job.store).probe()
    sizes = [os.path.getsize(shard.path) for shard in shards]
    check_disk(job.store, sum(sizes) * GROWTH)
    check_object_store(ray.cluster_resources(), pools, max(sizes) * (UNPACKED + (CUT if pools.tokenize else 0.0)))
    if pools.grow:
        wait_for_a_node(pools, log)
    else:
        check_placement(pools, nodes_up())
        wait_for_resources(pools, ray.available_resources)
    return _check_models_in_task(pools, job, config.languages)


def check_disk(root: str, needed: float) -> None:
    """Room for what is to be written; an object store has it."""
    if "://" in root and not root.startswith("file://"):
        return
    free = shutil.disk_usage(root.removeprefix("file://")).free
    if free < needed:
        raise UserError(
            f"{free / 1e9:.1f} GB are free, about {needed / 1e9:.1f} GB will be written",
            file=root,
            remedy="free space, or choose another disk with out=... or a bucket with label.output_uri=s3://...",
        )


def check_object_store(resources: dict[str, float], pools: Pools, shard: float) -> None:
    """Room for the shards that are on their way; Ray Data takes half of the store."""
    if not pools.align:
        return  # shards stay in the actor that does them whole
    room = resources.get("object_store_memory", 0.0) / 2
    actors = sum(pool.size for pool in pools.guarded)
    needed = shard * IN_FLIGHT * actors
    if room < needed:
        raise UserError(
            f"{actors} actors hold {needed / 2**20:,.0f} MB of shards, and Ray's object"
            f" store has {room / 2**20:,.0f} MB for them",
            key="ingest.shard_rows",
            remedy="make shards smaller, set label.max_actors, or start Ray with a larger object store",
        )


def check_placement(pools: Pools, nodes: list[dict[str, float]]) -> None:
    """See that every actor finds a node: a GPU is of no use to one that finds no CPU beside it.

    Args:
        nodes: what each node has, by Ray's names (CPU, GPU).
    """
    asked: list[dict[str, float]] = []
    for pool in pools.all:
        asked += [{_NAMES[key]: amount for key, amount in pool.resources.items()}] * pool.size
    if (left := unplaced(asked, nodes)) is not None:
        told = " and ".join(f"{v:g} {k}" for k, v in left.items())
        raise UserError(
            f"no node has room for an actor that takes {told}, beside the others",
            key="label.max_actors",
            remedy="give the nodes with GPUs more CPUs, or set label.max_actors lower",
        )


def wait_for_resources(pools: Pools, available: Any, patience: float = PATIENCE) -> None:
    """Actors that wait for a CPU that is never free wait without a word.

    Args:
        available: gives the resources that are free now; what a dead driver held comes back in seconds.
    """
    deadline = time.monotonic() + patience
    while True:
        free = available()
        short = [
            (name, pools.needs(key), free.get(name, 0.0))
            for key, name in _NAMES.items()
            if pools.needs(key) > free.get(name, 0.0) + 1e-6
        ]
        if not short:
            return
        if time.monotonic() > deadline:
            name, needed, has = short[0]
            raise UserError(
                f"labeling needs {needed:.2f} {name}s at once and the cluster has {has:.2f} free",
                key="label.max_actors",
                remedy="wait for other jobs, set label.max_actors lower, or add nodes",
            )
        time.sleep(1.0)


def wait_for_a_node(pools: Pools, log: Callable[[str], None], often: float = PATIENCE) -> None:
    """Ask for what one label actor takes, and wait for the node that has it, however long the cloud has none.

    Args:
        often: seconds between two lines that say so.
    """
    import ray

    began = time.monotonic()
    answer = ray.remote(**pools.label.resources)(_nothing).remote()
    while not ray.wait([answer], timeout=often)[0]:
        minutes = (time.monotonic() - began) / 60
        log(f"[label] no node with a free GPU for {minutes:.1f} min; `ray status` tells what the autoscaler does")
    ray.get(answer)
    log(f"[label] a GPU was free after {time.monotonic() - began:.1f} s")


def _nothing() -> None:
    pass


def _check_models_in_task(pools: Pools, job: LabelingJob, languages: list[str]) -> str:
    """Run `check_models` in a Ray task with the resources of an actor."""
    import ray

    if job.models.null_model:
        return "no model"
    task = ray.remote(**pools.label.resources)(check_models)
    return ray.get(task.remote(job, languages))


def check_models(job: LabelingJob, languages: list[str]) -> str:
    """Label and align one sentence pair with the models of each language.

    Returns:
        Precision and device, such as `bf16 on cuda`.

    Raises:
        UserError: the device cannot run the models, or their weights overflow.
    """
    import torch

    check_device(job.models.precision)
    label, align = job.functions.label(job.models), job.functions.align(job.models)
    tokenize = job.functions.tokenize(job.models) if job.pretokenized else None
    pair = pa.table({"source": ["Anna Keller went to Vienna."], "target": ["Anna Keller fuhr nach Wien."]})
    for language in languages:
        table = pair.append_column(schema.PRETOKENIZED, tokenize(pair, language)[0]) if tokenize else pair
        entities, _ = label(table, language)
        align(table.append_column(schema.ENTITIES, entities), language)
    engine: Any = cast(AlignFunction, align).projector.engine
    for parameter in engine.model.parameters():
        if not torch.isfinite(parameter).all():
            raise UserError(
                f"the aligner's weights overflow in {engine.dtype}",
                file=Path(job.models.aligner),
                key="label.precision",
                remedy="set label.precision=fp32",
            )
    return f"{str(engine.dtype).removeprefix('torch.')} on {engine.device}"


def check_device(precision: str) -> None:
    """Raises: UserError where this torch has no kernels for the GPU, or the GPU lacks the precision."""
    import torch

    if torch.cuda.is_available():
        gpu = this_gpu("a GPU")
        check_gpu(gpu)
        check_precision(gpu, {"label.precision": precision})
