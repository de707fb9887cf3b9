"""The Ray Data graph of labeling: shards stream as envelopes through actor pools, and each is committed once.

    chunks of shard descriptors -> prepare pool -> model pool -> commit pool     on GPUs
    chunks of shard descriptors -> one pool that does all steps                  on CPUs

On GPUs, CPU actors read and tokenize before the models, and commit after them. On CPUs, the actor of a shard does all of it.

One row of the graph is one shard. Ray can therefore neither cut nor merge shards, and the file that a shard becomes is known
before work starts. The whole run is one graph, because each start of the pools loads all models again. The input has a chunk of
descriptors in each row, because Ray Data keeps a few kilobytes in the driver for every block. What the actors do with a shard is
in `actors.py`.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import warnings
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

from xner_ray.errors import UserError
from xner_ray.labeling.actors import CommitShards, LabelAndAlign, LabelingJob, PrepareShards, ReadLabelAlignCommit
from xner_ray.labeling.left_out_gpus import LeftOutGpus
from xner_ray.labeling.pools import Pool, Pools
from xner_ray.labeling.shard_descriptor import ShardDescriptor

log = logging.getLogger(__name__)

MAX_CHUNK = 64  # shards
CHUNKS_PER_ACTOR = 100  # so that all actors of a pool end at about the same time
MAX_INIT_DEATHS = 3  # of the actors of a pool one after another, before the run fails
_NUMBERS: defaultdict[str, Iterator[int]] = defaultdict(lambda: itertools.count(1))


def label_shards(shards: Sequence[ShardDescriptor], pools: Pools, job: LabelingJob) -> Iterator[dict[str, Any]]:
    """Label, align and commit shards.

    Args:
        shards: that are not committed.
        pools: the actors.
        job: what the actors share.

    Yields:
        for each committed shard, the row that `actors.commit_shard` gives.

    Raises:
        UserError: no device can run the models.
    """
    problems: dict[str, str] = {}  # by the id of a device that is left out
    with requested_nodes(pools), contextlib.closing(LeftOutGpus(pools.accelerator_type)) as left_out:
        while shards:
            undone: dict[str, str] = {}  # shard -> id of a device
            for row in _graph(shards, pools.without(len(problems)), job).iter_rows():
                if not row["undone"]:
                    yield row
                    continue
                if row["device"] not in undone.values():
                    log.warning("[label] %s is left out: %s", row["undone"], row["problem"])
                undone[row["shard"]] = row["device"]
                problems[row["device"]] = f"{row['undone']}: {row['problem']}"
            if undone and not left_out.add(set(undone.values())):
                raise UserError(
                    f"no device can run the models: {'; '.join(sorted(problems.values()))}",
                    remedy="look at the devices with nvidia-smi, replace or exclude their nodes, and run it again; if their"
                    " memory is exhausted, set label.num_gpus_per_actor=1",
                )
            shards = [shard for shard in shards if shard.shard in undone]


@contextlib.contextmanager
def requested_nodes(pools: Pools) -> Iterator[None]:
    """Ask the autoscaler for all GPUs of a run at once, and take the request back at the end.

    Without it, Ray Data asks for a few actors at a time, and each node starts to boot after the one before is busy.
    """
    if not pools.autoscaling:
        yield
        return
    from ray.autoscaler.sdk import request_resources

    request_resources(bundles=pools.bundles())
    try:
        yield
    finally:
        request_resources(bundles=[])


def chunk_size(shards: int, actors: int) -> int:
    """The number of shards in one row of the graph's input."""
    return max(1, min(MAX_CHUNK, shards // (CHUNKS_PER_ACTOR * actors)))


def _graph(shards: Sequence[ShardDescriptor], pools: Pools, job: LabelingJob) -> Any:
    """The graph of a run.

    Reading and committing are actors too, or part of one. As tasks they would be many more processes than the node has CPUs: Ray
    ends the idle ones after a second and starts others, at four seconds of CPU each, two thirds of the time on two cores.
    """
    import ray

    # Ray Data 2.60 has no other way to name an actor.
    warnings.filterwarnings("ignore", "`ray_remote_args_fn` is deprecated")
    stages = _stages(pools)
    _, _, first = stages[0]
    size = chunk_size(len(shards), max(first.size, first.max_size))
    chunks = [
        {"shards": [asdict(shard) for shard in shards[start : start + size]]} for start in range(0, len(shards), size)
    ]
    with _block_per_row():
        graph: Any = ray.data.from_items(chunks, override_num_blocks=len(chunks))
        for name, actor, pool in stages:
            graph = graph.map_batches(
                actor,
                fn_constructor_args=(job,),
                compute=_strategy(pool),
                batch_size=1,
                batch_format="pyarrow",
                ray_remote_args_fn=partial(
                    actor_options, name, pools.accelerator_type if pool is pools.model else None
                ),
                **pool.resources,
            )
    return graph


@contextlib.contextmanager
def _block_per_row() -> Iterator[None]:
    """Settings of Ray Data for the graph that is built in the context.

    An actor gives many rows for a chunk. With a target size of one byte each of them is a block, so that the next pool gets it at
    once, and not 128 MiB later.
    """
    from ray.data import DataContext

    settings = DataContext.get_current()
    before = settings.target_max_block_size, settings.max_consecutive_actor_init_deaths
    settings.target_max_block_size, settings.max_consecutive_actor_init_deaths = 1, MAX_INIT_DEATHS
    try:
        yield  # a dataset copies the settings when it is made
    finally:
        settings.target_max_block_size, settings.max_consecutive_actor_init_deaths = before


def _stages(pools: Pools) -> list[tuple[str, type, Pool]]:
    """Name, class and pool of each kind of actor, in the order of the graph."""
    if not (pools.prepare and pools.commit):
        return [("whole:shard", ReadLabelAlignCommit, pools.model)]
    return [
        ("prepare:shard", PrepareShards, pools.prepare),
        ("model:shard", LabelAndAlign, pools.model),
        ("commit:shard", CommitShards, pools.commit),
    ]


def actor_options(name: str, accelerator_type: str | None) -> dict[str, Any]:
    """Arguments for the start of an actor: its name in Ray's dashboard, such as `model:shard#3`, and its kind of GPU."""
    # Numbers continue from graph to graph, because the actors of the last one may still hold their names.
    options = {"name": f"{name}#{next(_NUMBERS[name])}"}
    return options | ({"accelerator_type": accelerator_type} if accelerator_type else {})


def _strategy(pool: Pool) -> Any:
    import ray

    if not pool.max_size:
        return ray.data.ActorPoolStrategy(size=pool.size)
    return ray.data.ActorPoolStrategy(min_size=pool.size, max_size=pool.max_size)
