"""Labelling and aligning: shards stream as envelopes through two actor pools, and each is committed once.

    shard descriptors -> read -> label pool (teacher) -> align pool (aligner) -> commit

One row of the graph is one shard, so Ray can neither cut nor merge shards, and the file that a shard becomes is known before
work starts. What is committed already is not read again. Nothing but descriptors passes the driver.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from xner_ray.config import Label
from xner_ray.errors import UserError
from xner_ray.stages.aligner import aligner_folder
from xner_ray.stages.context import Run, model_identity, once
from xner_ray.stages.english import english_models, teachers
from xner_ray.stages.ingest import Descriptor, shard_descriptors
from xner_ray.store.envelope import pack, repack, unpack
from xner_ray.store.fingerprint import hash_file
from xner_ray.store.folders import StageFolder
from xner_ray.store.shards import ShardStore


@once
def label(run: Run) -> StageFolder:
    """Label and align every shard that is not committed; returns the folder of the store."""
    config = run.config
    descriptors = shard_descriptors(run)
    models = english_models(run, list(teachers(run).values()))
    folders = {language: str(models[wanted]) for language, wanted in teachers(run).items()}
    aligner = aligner_folder(run)
    parts = {
        "teachers": {language: model_identity(folder) for language, folder in folders.items()},
        "aligner": [model_identity(aligner), hash_file(aligner / "projector.json")],
        "label": config.label.model_dump(exclude={"workers", "gpu_share"}),
    }
    folder = run.folder("label", parts)
    store = ShardStore(folder.path)
    missing = set(store.missing({d.shard: d.input_hash for d in descriptors}))
    todo = [d for d in descriptors if d.shard in missing]
    pairs = sum(d.rows for d in descriptors)
    run.say(f"[label] {len(descriptors)} shards, {pairs:,} pairs; {len(descriptors) - len(todo)} shards are done")
    if todo:
        _stream(run, todo, folders, str(aligner), str(folder.path))
        left = store.missing({d.shard: d.input_hash for d in descriptors})
        if left:
            raise UserError(
                f"{len(left)} shards were not committed, e.g. {left[0]}", file=folder.path, remedy="run it again"
            )
    return folder


def _stream(run: Run, todo: list[Descriptor], teachers: dict[str, str], aligner: str, out: str) -> None:
    import ray

    run.ray()
    plan = pools(run.config.label, ray.cluster_resources(), len(todo))
    run.say(f"[label] {plan['label']['size']} label actors, {plan['align']['size']} align actors, {plan['device']}")
    settings = {
        "budget": run.config.label.batch_tokens,
        "precision": run.config.label.precision,
        "threads": plan["threads"],
    }
    # Different resources keep Ray from fusing reading into the model's process.
    items: list[dict[str, Any]] = [d.__dict__ for d in sorted(todo, key=lambda d: d.shard)]
    graph = (
        ray.data.from_items(items, override_num_blocks=len(items))
        .map_batches(read_shard, batch_size=1, batch_format="pyarrow", num_cpus=0.05)
        .map_batches(
            LabelShards,
            fn_constructor_kwargs={"folders": teachers, "source_language": run.config.source_language, **settings},
            compute=ray.data.ActorPoolStrategy(size=plan["label"]["size"]),
            batch_size=1,
            batch_format="pyarrow",
            **plan["label"]["resources"],
        )
        .map_batches(
            AlignShards,
            fn_constructor_kwargs={"folder": aligner, **settings},
            compute=ray.data.ActorPoolStrategy(size=plan["align"]["size"]),
            batch_size=1,
            batch_format="pyarrow",
            **plan["align"]["resources"],
        )
        .map_batches(
            commit_shard,  # type: ignore[arg-type]  # Ray's stub does not know fn_kwargs
            fn_kwargs={"out": out},
            batch_size=1,
            batch_format="pyarrow",
            num_cpus=0.06,
        )
    )
    began, pairs, entities = time.monotonic(), 0, 0
    total = sum(d.rows for d in todo)
    for n, row in enumerate(graph.iter_rows(), 1):
        pairs, entities = pairs + row["rows"], entities + row["entities"]
        rate = pairs / (time.monotonic() - began)
        left = (total - pairs) / rate / 60
        run.say(
            f"[label] {n}/{len(todo)} shards, {pairs:,}/{total:,} pairs, {entities:,} entities,"
            f" {rate:,.0f} pairs/s, {left:.1f} min left"
        )


def pools(label: Label, resources: dict[str, float], shards: int) -> dict[str, Any]:
    """How many actors of each kind, and what each takes.

    Aligning costs about 2.5 times labelling (1.7 queries a pair, each longer than the sentence). On CPUs every actor runs one
    thread, because two thread pools on the same cores ruin each other. All actors together leave room for reading and
    committing: pools that take all CPUs would wait for ever for the tasks that feed them.
    """
    cpus, gpus = resources.get("CPU", 1), int(resources.get("GPU", 0))
    if gpus:
        share_of_gpu = min(label.gpu_share, gpus / 2)  # one GPU holds a label and an align actor, or nothing moves
        most = max(1, int(gpus / share_of_gpu / 2))
        size = min(label.workers or most, most, shards)
        share = {"num_gpus": share_of_gpu, "num_cpus": min(1.0, 0.7 * cpus / (2 * size))}
        pool = {"size": size, "resources": share}
        return {"label": pool, "align": pool, "threads": 1, "device": f"{gpus} GPUs"}
    size = label.workers or max(1, int(cpus))
    align, tag = min(size, shards), min(max(1, size // 2), shards)
    share = {"num_cpus": round(0.8 * cpus / (align + tag), 3)}
    return {
        "label": {"size": tag, "resources": share},
        "align": {"size": align, "resources": share},
        "threads": 1,
        "device": f"{cpus:.0f} CPUs",
    }


def read_shard(batch: pa.Table) -> pa.Table:
    """A descriptor becomes the shard's envelope."""
    row = batch.to_pylist()[0]
    table = pq.read_table(row["path"])
    if table.num_rows != row["rows"]:
        raise UserError(
            f"holds {table.num_rows} rows, expected {row['rows']}", file=row["path"], remedy="ingest again"
        )
    return pack(row["shard"], row["language"], table, row["input_hash"])


class LabelShards:
    """Actor: the teacher of each shard's language, loaded when a shard first asks for it."""

    def __init__(self, folders: dict[str, str], source_language: str, budget: int, precision: str, threads: int):
        import torch

        torch.set_num_threads(threads)
        self.folders, self.source_language = folders, source_language
        self.budget, self.precision = budget, precision
        self.taggers: dict[str, Any] = {}

    def __call__(self, batch: pa.Table) -> pa.Table:
        from xner_ray.ner.label import label_table
        from xner_ray.ner.tagger import open_tagger

        _, language, table = unpack(batch)
        folder = self.folders[language]
        if folder not in self.taggers:
            self.taggers[folder] = open_tagger(folder, self.budget, self.precision)
        return repack(batch, label_table(self.taggers[folder], table, self.source_language))


class AlignShards:
    """Actor: the aligner; pairs in which the teacher found nothing cost it nothing."""

    def __init__(self, folder: str, budget: int, precision: str, threads: int):
        import torch

        from xner_ray.align.projector import Projector

        torch.set_num_threads(threads)
        self.projector = Projector.load(folder, precision=precision, batch_tokens=budget)

    def __call__(self, batch: pa.Table) -> pa.Table:
        from xner_ray import schema

        _, language, table = unpack(batch)
        return repack(batch, table.append_column(schema.PROJECTIONS, self.projector.project(table, language)))


def commit_shard(batch: pa.Table, out: str) -> pa.Table:
    """Commit a labelled shard; what passes on is its name and counts."""
    shard, _, table = unpack(batch)
    input_hash = batch.column("input_hash")[0].as_py()
    entities = int(pc.sum(pc.list_value_length(table.column("entities"))).as_py() or 0)
    ShardStore(Path(out)).commit(shard, table, input_hash, {"entities": entities})
    return pa.table({"shard": [shard], "rows": [table.num_rows], "entities": [entities]})
