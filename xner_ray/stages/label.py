"""Labelling and aligning: shards stream as envelopes through two actor pools, and each is committed once.

    shard descriptors -> read -> label pool (teacher) -> align pool (aligner) -> commit

One row of the graph is one shard, so Ray can neither cut nor merge shards, and the file that a shard becomes is known before
work starts. What is committed already is not read again. Nothing but descriptors passes the driver, and they go in waves, so
that its memory does not grow with the corpus. Models run in children of the actors, which rows may kill (`xner_ray/poison`).
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from xner_ray import schema
from xner_ray.encoder.load import encoder_folder
from xner_ray.errors import UserError
from xner_ray.ner.adopt import model_types
from xner_ray.poison import Guard
from xner_ray.runs.fingerprint import hash_file
from xner_ray.runs.folders import StageFolder
from xner_ray.stages.aligner import aligner_folder
from xner_ray.stages.context import Run, model_identity, once
from xner_ray.stages.english import english_models, teachers
from xner_ray.stages.ingest import Descriptor, ingest_books, shard_descriptors
from xner_ray.stages.pools import Pools, plan_pools
from xner_ray.stages.preflight import Works, preflight
from xner_ray.stages.status import PLAN
from xner_ray.store.envelope import pack, repack, unpack
from xner_ray.store.place import LocalPlace
from xner_ray.store.shards import ShardStore

WAVE = 500  # shards of one graph: starting the pools anew costs seconds, and a wave takes an hour
LABEL_WORK, ALIGN_WORK = "xner_ray.stages.workers:LabelWork", "xner_ray.stages.workers:AlignWork"
_NOTES = b"xner.notes"


@dataclass(frozen=True)
class Labelled:
    """`folder`: of the stage. `root`: where its shards are, the folder itself or a prefix in an object store."""

    folder: StageFolder
    root: str


@dataclass(frozen=True)
class Models:
    """Folders of the models, and what identifies them; `null`: only their tokenizers are used."""

    teachers: dict[str, str]
    aligner: str
    null: bool
    parts: dict[str, Any]


@once
def label(run: Run) -> Labelled:
    """Label and align every shard that is not committed."""
    config = run.config.label
    descriptors = shard_descriptors(run)
    models = _null_models(run) if config.null_model else _models(run)
    settings = config.model_dump(exclude={"workers", "gpu_share", "store", "max_quarantined", "null_model"})
    folder = run.folder("label", {**models.parts, "label": settings})
    root = f"{config.store.rstrip('/')}/label/{folder.path.name}" if config.store else str(folder.path)
    store = ShardStore(root)
    _write_plan(run, folder, root, descriptors)
    missing = set(store.missing({d.shard: d.input_hash for d in descriptors}))
    todo = sorted((d for d in descriptors if d.shard in missing), key=lambda d: d.shard)
    pairs = sum(d.rows for d in descriptors)
    run.say(f"[label] {len(descriptors)} shards, {pairs:,} pairs; {len(descriptors) - len(todo)} shards are done")
    if swept := store.sweep():
        run.say(f"[label] {len(swept)} files of killed attempts were deleted")
    if todo:
        with run.work("label", folder.path.name, pairs=sum(d.rows for d in todo)):
            _stream(run, todo, models, root)
        if left := store.missing({d.shard: d.input_hash for d in descriptors}):
            raise UserError(f"{len(left)} shards were not committed, e.g. {left[0]}", file=root, remedy="run it again")
    return Labelled(folder, root)


def _models(run: Run) -> Models:
    models = english_models(run, list(teachers(run).values()))
    folders = {language: str(models[wanted]) for language, wanted in teachers(run).items()}
    _check_conventions(run, folders)
    aligner = aligner_folder(run)
    parts = {
        "teachers": {language: model_identity(folder) for language, folder in folders.items()},
        "aligner": [model_identity(aligner), hash_file(aligner / "projector.json")],
    }
    return Models(folders, str(aligner), False, parts)


def _check_conventions(run: Run, teachers: dict[str, str]) -> None:
    """Raises: UserError where a convention gives a type that the language's teacher does not know; before labelling begins."""
    for key in ("derived", "lowercase"):
        for language, kind in getattr(run.config.rules, key).items():
            if language not in teachers:
                continue  # this run leaves the language out
            types = model_types(teachers[language])
            if kind not in ["O", *types]:
                raise UserError(
                    f"`{kind}` is no type of the teacher of `{language}`",
                    file=run.config_file,
                    key=f"rules.{key}.{language}",
                    remedy=f"write O or one of {', '.join(types)}",
                )


def _null_models(run: Run) -> Models:
    from xner_ray.encoder.null import VERSION

    folder = encoder_folder(run.config.teacher.encoder)
    parts = {"null": VERSION, "tokenizer": hash_file(folder / "tokenizer.json")}
    return Models(dict.fromkeys(run.config.languages, str(folder)), str(folder), True, parts)


def _write_plan(run: Run, folder: StageFolder, root: str, descriptors: list[Descriptor]) -> None:
    """What `xner status` compares manifests with."""
    plan = {
        "root": root,
        "shards": {d.shard: {"rows": d.rows, "input_hash": d.input_hash} for d in descriptors},
        "ledger": ingest_books(run).to_rows(),
    }
    LocalPlace(folder.path).put(PLAN, json.dumps(plan).encode(), "plan")


def _stream(run: Run, todo: list[Descriptor], models: Models, root: str) -> None:
    import ray

    run.ray()
    pools = plan_pools(run.config.label, ray.cluster_resources(), len(todo))
    settings: dict[str, Any] = {
        "null": models.null,
        "budget": run.config.label.batch_tokens,
        "precision": run.config.label.precision,
        "threads": pools.threads,
    }
    tagging: dict[str, Any] = {"folders": models.teachers, "source_language": run.config.source_language, **settings}
    works: Works = {"label": (LABEL_WORK, tagging), "align": (ALIGN_WORK, {"folder": models.aligner, **settings})}
    told = preflight(run.config, pools, todo, root, works)
    run.say(f"[label] {pools.label.size} label actors, {pools.align.size} align actors, {pools.device}; {told}")
    began, shards, pairs, bad = time.monotonic(), 0, 0, 0
    total = sum(d.rows for d in todo)
    for start in range(0, len(todo), WAVE):
        graph = _graph(todo[start : start + WAVE], pools, works, run.config.label.max_quarantined, root)
        for row in graph.iter_rows():
            shards, pairs, bad = shards + 1, pairs + row["rows"], bad + row["quarantined"]
            rate = pairs / (time.monotonic() - began)
            run.say(
                f"[label] {shards}/{len(todo)} shards, {pairs:,}/{total:,} pairs, {bad} quarantined,"
                f" {rate:,.0f} pairs/s, {(total - pairs) / rate / 60:.1f} min left"
            )


def _graph(todo: list[Descriptor], pools: Pools, works: Works, max_share: float, root: str) -> Any:
    """The Ray Data graph of one wave.

    Reading and committing are actors too. As tasks they are many more processes than the node has CPUs, so Ray ends the
    idle ones after a second and starts others, at four seconds of CPU each: two thirds of the time on two cores.
    """
    import ray

    items: list[dict[str, Any]] = [d.__dict__ for d in todo]
    graph: Any = ray.data.from_items(items, override_num_blocks=len(items))
    for stage, arguments, pool in (
        (ReadShards, (root,), pools.read),
        (LabelShards, (*works["label"], max_share), pools.label),
        (AlignShards, (*works["align"], max_share), pools.align),
        (CommitShards, (root,), pools.commit),
    ):
        graph = graph.map_batches(
            stage,
            fn_constructor_args=arguments,
            compute=ray.data.ActorPoolStrategy(size=pool.size),
            batch_size=1,
            batch_format="pyarrow",
            **pool.resources,
        )
    return graph


def read_shard(batch: pa.Table, out: str) -> pa.Table:
    """A descriptor becomes the shard's envelope."""
    row = batch.to_pylist()[0]
    table = pq.read_table(row["path"])
    if table.num_rows != row["rows"]:
        raise UserError(
            f"holds {table.num_rows} rows, expected {row['rows']}", file=row["path"], remedy="ingest again"
        )
    ShardStore(out).begin(row["shard"])
    return pack(row["shard"], row["language"], table, row["input_hash"])


class ReadShards:
    """Actor: `read_shard`."""

    def __init__(self, out: str):
        self.out = out

    def __call__(self, batch: pa.Table) -> pa.Table:
        return read_shard(batch, self.out)


class CommitShards:
    """Actor: `commit_shard`."""

    def __init__(self, out: str):
        self.out = out

    def __call__(self, batch: pa.Table) -> pa.Table:
        return commit_shard(batch, self.out)


class _GuardedShards:
    """Actor: a stage over whole shards, in a child process; its notes travel in the table's metadata."""

    def __init__(self, guard: Guard):
        self.guard = guard

    def __call__(self, batch: pa.Table) -> pa.Table:
        _, language, table = unpack(batch)
        notes = _notes(table)
        table, new = self.guard(table, language)
        notes = {**notes, **{f"{self.guard.stage}.{k}": v for k, v in new.items()}}
        return repack(batch, table.replace_schema_metadata({_NOTES: json.dumps(notes)}))


class LabelShards(_GuardedShards):
    """The teachers."""

    def __init__(self, work: str, settings: dict[str, Any], max_share: float):
        super().__init__(Guard("label", ["source"], schema.ENTITIES, work, settings, max_share))


class AlignShards(_GuardedShards):
    """The aligner."""

    def __init__(self, work: str, settings: dict[str, Any], max_share: float):
        needs = ["source", "target", "entities"]
        super().__init__(Guard("align", needs, schema.PROJECTIONS, work, settings, max_share))


def _notes(table: pa.Table) -> dict[str, Any]:
    return json.loads((table.schema.metadata or {}).get(_NOTES, b"{}"))


def commit_shard(batch: pa.Table, out: str) -> pa.Table:
    """Commit a labelled shard; what passes on is its name and counts."""
    shard, _, table = unpack(batch)
    input_hash = batch.column("input_hash")[0].as_py()
    entities = int(pc.sum(pc.list_value_length(table.column("entities"))).as_py() or 0)
    counts = {"entities": entities, "quarantined": table.num_rows - table.column("fault").null_count}
    ShardStore(out).commit(shard, table.select(schema.ALIGNED.names), input_hash, {**counts, **_notes(table)})
    return pa.table({"shard": [shard], "rows": [table.num_rows], **{k: [v] for k, v in counts.items()}})
