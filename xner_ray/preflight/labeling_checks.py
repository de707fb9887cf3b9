"""The checks before the first shard is labeled. Each prevents a run that would fail late, or wait forever without a message.

They check free CPUs and GPUs, space on the disk and in Ray's object store, that the shard store can commit, and that the models
load and run in their precision.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pyarrow as pa

from xner_ray import schema
from xner_ray.config import Config
from xner_ray.encoders.device_errors import exhausts_memory, is_device_lost
from xner_ray.errors import UserError
from xner_ray.labeling.actors import LabelingJob
from xner_ray.labeling.isolation import device_name
from xner_ray.labeling.pools import NodeResources, Pools, accelerator_types
from xner_ray.labeling.shard_descriptor import ShardDescriptor
from xner_ray.labeling.shard_functions import AlignFunction
from xner_ray.preflight.checks import check_gpu, check_precision, first_unplaced
from xner_ray.preflight.cluster import local_gpu
from xner_ray.storage.shard_store import ShardStore
from xner_ray.training.backends.nodes import nodes_up

RELEASE_SECONDS = 60.0  # in this time the workers of a dead driver release their resources
# Ratios of sizes in bytes, each to the input file of a shard.
LABELED_RATIO = 2.0  # the labeled file; measured: 1.2 to 1.5
OBJECT_RATIO = 6.0  # the shard in the object store
PRETOKENIZED_RATIO = 15.0  # its pretokenized column in the object store (13 bytes for each subword or word)
SHARDS_PER_ACTOR = 3  # that an actor and its queue hold

_RAY_NAMES = {"num_cpus": "CPU", "num_gpus": "GPU"}


@dataclass(frozen=True)
class ModelDevice:
    """What the models of a labeling run on.

    Attributes:
        precision: fp32, bf16 or fp16.
        text: precision and device for a log line, such as `bf16 on cuda`.
        accelerator_type: kind of GPU, by Ray's name; None: no GPU, or Ray does not know its kind.
    """

    precision: str
    text: str
    accelerator_type: str | None = None


def check_labeling(
    config: Config, pools: Pools, shards: list[ShardDescriptor], job: LabelingJob, log: Callable[[str], None]
) -> ModelDevice:
    """Run all checks of this module.

    Args:
        config: checked config of the run.
        pools: actors of the graph.
        shards: that will be labeled.
        job: of the graph.
        log: gets lines while an autoscaler starts a node with a GPU.

    Returns:
        What the models run on.

    Raises:
        UserError: a check failed.
    """
    import ray

    ShardStore(job.store).probe()
    sizes = [os.path.getsize(shard.path) for shard in shards]
    check_disk(job.store, sum(sizes) * LABELED_RATIO)
    ratio = OBJECT_RATIO + (PRETOKENIZED_RATIO if pools.prepare else 0.0)
    check_object_store(ray.cluster_resources(), pools, max(sizes) * ratio)
    if pools.autoscaling:
        wait_for_node(pools, log)
    else:
        check_placement(pools, nodes_up())
        wait_for_resources(pools, ray.available_resources)
    return _check_models_in_task(pools, job, config.languages)


def check_disk(store: str, needed: float) -> None:
    """Check the free space of a folder. The space of an object store is not limited.

    Args:
        store: folder or URL.
        needed: bytes that will be written.
    """
    if "://" in store and not store.startswith("file://"):
        return
    free = shutil.disk_usage(store.removeprefix("file://")).free
    if free < needed:
        raise UserError(
            f"{free / 1e9:.1f} GB are free, about {needed / 1e9:.1f} GB will be written",
            file=store,
            remedy="free space, or choose another disk with out=... or a bucket with label.output_uri=s3://...",
        )


def check_object_store(resources: dict[str, float], pools: Pools, shard_bytes: float) -> None:
    """Check that Ray's object store has room for the shards in flight. Ray Data uses half of it.

    Args:
        resources: of the cluster.
        pools: actors of the graph.
        shard_bytes: size of the largest shard in memory.
    """
    if not pools.prepare:
        return  # one actor does all steps, so that no shard passes through the object store
    room = resources.get("object_store_memory", 0.0) / 2
    actors = sum(pool.size for pool in pools.with_functions)
    needed = shard_bytes * SHARDS_PER_ACTOR * actors
    if room < needed:
        raise UserError(
            f"{actors} actors hold {needed / 2**20:,.0f} MB of shards, and Ray's object"
            f" store has {room / 2**20:,.0f} MB for them",
            key="ingest.shard_rows",
            remedy="make shards smaller, set label.max_actors, or start Ray with a larger object store",
        )


def check_placement(pools: Pools, nodes: list[NodeResources]) -> None:
    """Check that every actor fits on a node. An actor needs its GPU and its CPUs on the same node."""
    requests: list[NodeResources] = []
    for pool in pools.all:
        requests += [{_RAY_NAMES[key]: amount for key, amount in pool.resources.items()}] * pool.size
    if (request := first_unplaced(requests, nodes)) is not None:
        resources = " and ".join(f"{amount:g} {name}" for name, amount in request.items())
        raise UserError(
            f"no node has room for an actor that takes {resources}, beside the others",
            key="label.max_actors",
            remedy="give the nodes with GPUs more CPUs, or set label.max_actors lower",
        )


def wait_for_resources(pools: Pools, available: Callable[[], NodeResources], timeout: float = RELEASE_SECONDS) -> None:
    """Wait until the resources of all actors are free. Actors without resources would wait without a message.

    Args:
        pools: actors of the graph.
        available: returns the free resources. Those of a dead driver are released within seconds.
        timeout: seconds.

    Raises:
        UserError: they are not free in time.
    """
    deadline = time.monotonic() + timeout
    while True:
        free = available()
        missing = [
            (name, pools.total(key), free.get(name, 0.0))
            for key, name in _RAY_NAMES.items()
            if pools.total(key) > free.get(name, 0.0) + 1e-6
        ]
        if not missing:
            return
        if time.monotonic() > deadline:
            name, needed, amount = missing[0]
            raise UserError(
                f"labeling needs {needed:.2f} {name}s at once and the cluster has {amount:.2f} free",
                key="label.max_actors",
                remedy="wait for other jobs, set label.max_actors lower, or add nodes",
            )
        time.sleep(1.0)


def wait_for_node(pools: Pools, log: Callable[[str], None], log_seconds: float = RELEASE_SECONDS) -> None:
    """Request the resources of one model actor, and wait without limit until the autoscaler has started a node for it.

    Args:
        pools: actors of the graph.
        log: gets a line while the node is missing, and one when it is up.
        log_seconds: between two lines.
    """
    import ray

    start = time.monotonic()
    task = ray.remote(**_task_options(pools))(_do_nothing).remote()
    while not ray.wait([task], timeout=log_seconds)[0]:
        minutes = (time.monotonic() - start) / 60
        log(f"[label] no node with a free GPU for {minutes:.1f} min; `ray status` shows what the autoscaler does")
    ray.get(task)
    log(f"[label] a GPU was free after {time.monotonic() - start:.1f} s")


def _task_options(pools: Pools) -> dict[str, Any]:
    """Options of a task that runs where a model actor can run."""
    kind = {"accelerator_type": pools.accelerator_type} if pools.accelerator_type else {}
    return {**pools.model.resources, **kind}


def _do_nothing() -> None:
    pass


def _check_models_in_task(pools: Pools, job: LabelingJob, languages: list[str]) -> ModelDevice:
    """Run `check_models` in a Ray task with the resources of an actor."""
    import ray

    if job.models.null_model:
        return ModelDevice(job.models.precision, "no model", pools.accelerator_type)
    task = ray.remote(**_task_options(pools))(check_models)
    return ray.get(task.remote(job, languages))


def check_models(job: LabelingJob, languages: list[str]) -> ModelDevice:
    """Label and align one sentence pair with the models of each language.

    Returns:
        What they run on in this process.

    Raises:
        UserError: the device cannot run the models, or their weights overflow.
    """
    import torch

    from xner_ray.encoders.torch_engine import precision_name

    check_device(job.models.precision, job.models.device)
    pair = pa.table({"source": ["Anna Keller went to Vienna."], "target": ["Anna Keller fuhr nach Wien."]})
    with _explained_device_errors():
        label, align = job.functions.label(job.models), job.functions.align(job.models)
        tokenize = job.functions.tokenize(job.models) if job.pretokenized else None
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
    precision = precision_name(engine.dtype)
    return ModelDevice(precision, f"{precision} on {engine.device}", this_accelerator_type())


def this_accelerator_type() -> str | None:
    """The kind of GPU of this process's node, by Ray's name; None: the node has no GPU, or Ray does not know its kind."""
    import ray

    if not ray.is_initialized():
        return None
    here = ray.get_runtime_context().get_node_id()
    resources = next(node["Resources"] for node in ray.nodes() if node["NodeID"] == here)
    return next(iter(accelerator_types(resources)), None)


@contextlib.contextmanager
def _explained_device_errors() -> Iterator[None]:
    try:
        yield
    except RuntimeError as e:
        reason = f"{type(e).__name__}: {e}".splitlines()[0]
        if not exhausts_memory(e) and not is_device_lost(str(e)):
            raise
        remedy = "look at it with nvidia-smi, end other processes that use it, or exclude its node, and run it again"
        raise UserError(f"{device_name()} cannot run the models: {reason}", remedy=remedy) from e


def check_device(precision: str, device: str | None) -> None:
    """Check kernels and precision of the GPU of this process, if it has one.

    Args:
        precision: of the models.
        device: where the models must run, see `LabelingModels`.

    Raises:
        UserError: torch does not see the GPU or has no kernels for it, or the GPU does not support the precision.
    """
    import torch

    if device == "cuda" or torch.cuda.is_available():
        gpu = local_gpu(device_name())
        check_gpu(gpu)
        check_precision(gpu, {"label.precision": precision})
