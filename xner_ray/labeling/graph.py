"""The Ray Data graph of labeling: shards stream as envelopes through actor pools, and each is committed once.

    shard descriptors -> read -> tokenize -> label pool (teacher) -> align pool (aligner) -> commit     on GPUs
    shard descriptors -> one pool that reads, labels, aligns and commits                                on CPUs

On GPUs a pool of CPU actors tokenizes before the models; on CPUs the actor of a shard does it.

One row of the graph is one shard. Ray can therefore neither cut nor merge shards, and the file that a shard becomes is known
before work starts. Only descriptors pass through the driver, and they go in waves, so that its memory does not grow with the
corpus. What the actors do with a shard is in `actors.py`.
"""

from __future__ import annotations

import itertools
import warnings
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

from xner_ray.labeling.actors import (
    AlignShards,
    CommitShards,
    LabelingJob,
    LabelShards,
    ReadLabelAlignCommit,
    ReadShards,
    TokenizeShards,
)
from xner_ray.labeling.pools import Pool, Pools
from xner_ray.labeling.shard_descriptor import ShardDescriptor

WAVE = 500  # shards of one graph: starting the pools again costs seconds, and a wave takes an hour
_NUMBERS: defaultdict[str, Iterator[int]] = defaultdict(lambda: itertools.count(1))


def label_shards(shards: Sequence[ShardDescriptor], pools: Pools, job: LabelingJob) -> Iterator[dict[str, Any]]:
    """Label, align and commit shards.

    Args:
        shards: that are not committed.
        pools: the actors.
        job: what the actors share.

    Yields:
        for each committed shard, the row that `actors.commit_shard` gives.
    """
    for start in range(0, len(shards), WAVE):
        yield from _graph(shards[start : start + WAVE], pools, job).iter_rows()


def _graph(shards: Sequence[ShardDescriptor], pools: Pools, job: LabelingJob) -> Any:
    """The graph of one wave.

    Reading and committing are actors too, or part of one. As tasks they would be many more processes than the node has CPUs: Ray
    ends the idle ones after a second and starts others, at four seconds of CPU each, two thirds of the time on two cores.
    """
    import ray

    # Ray Data 2.60 has no other way to name an actor.
    warnings.filterwarnings("ignore", "`ray_remote_args_fn` is deprecated")
    items = [asdict(shard) for shard in shards]
    graph: Any = ray.data.from_items(items, override_num_blocks=len(items))
    for name, actor, pool in _actors(pools):
        graph = graph.map_batches(
            actor,
            fn_constructor_args=(job,),
            compute=_strategy(pool),
            batch_size=1,
            batch_format="pyarrow",
            ray_remote_args_fn=partial(actor_name, name),
            **pool.resources,
        )
    return graph


def _actors(pools: Pools) -> list[tuple[str, type, Pool]]:
    """Name, class and pool of each kind of actor, in the order of the graph."""
    if not pools.align:
        return [("whole:shard", ReadLabelAlignCommit, pools.label)]
    tokenize = [("tokenize:shard", TokenizeShards, pools.tokenize)] if pools.tokenize else []
    return [
        ("read:shard", ReadShards, pools.read),
        *tokenize,
        ("label:teacher", LabelShards, pools.label),
        ("align:aligner", AlignShards, pools.align),
        ("commit:shard", CommitShards, pools.commit),
    ]


def actor_name(name: str) -> dict[str, Any]:
    """Arguments for the start of an actor: its name in Ray's dashboard, such as `label:teacher#3`."""
    # Numbers continue from graph to graph, because the actors of the last one may still hold their names.
    return {"name": f"{name}#{next(_NUMBERS[name])}"}


def _strategy(pool: Pool) -> Any:
    import ray

    if not pool.max_size:
        return ray.data.ActorPoolStrategy(size=pool.size)
    return ray.data.ActorPoolStrategy(min_size=pool.size, max_size=pool.max_size)
