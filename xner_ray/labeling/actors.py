"""The actors of the labeling graph, and what each does with one shard: read, tokenize, label, align, commit.

A shard travels through the graph as an envelope, which is one row. Models run in a child process of their actor, because a row
can kill the process (`xner_ray/labeling/isolation`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from xner_ray import schema
from xner_ray.errors import UserError
from xner_ray.labeling.isolation import Bisection, SubprocessWorker
from xner_ray.labeling.shard_functions import LabelAndAlignFunction, LabelingModels, ShardFunctions
from xner_ray.observability.shard_timer import LogContext, ShardTimer
from xner_ray.storage.envelope import pack, repack, unpack
from xner_ray.storage.shard_store import ShardStore
from xner_ray.storage.verify import read_table

_NOTES = b"xner.notes"  # metadata key of the notes of earlier stages
FUNCTION_STAGES = ("tokenize", "label", "align")  # stages that can quarantine rows


@dataclass(frozen=True)
class LabelingJob:
    """What all actors of a labeling graph share. It is the only argument of their constructors.

    Attributes:
        store: folder or URL of the shard store.
        functions: classes of the functions that child processes run.
        models: argument of the functions.
        max_quarantined: largest allowed ratio of failed rows in a shard.
        log_context: for the log lines and metrics of the actors.
        pretokenized: the graph has a tokenize stage before the models.
    """

    store: str
    functions: ShardFunctions
    models: LabelingModels
    max_quarantined: float
    log_context: LogContext
    pretokenized: bool = False


def read_shard(batch: pa.Table, store: str) -> pa.Table:
    """Read a shard.

    Args:
        batch: one row, a `ShardDescriptor`.
        store: folder or URL of the shard store, which notes that the shard is in flight.

    Returns:
        The envelope of the shard.

    Raises:
        UserError: the file is gone or damaged, or has another number of rows than the descriptor.
    """
    row = batch.to_pylist()[0]
    table = read_table(row["path"], row["input_hash"], row["shard"])
    if table.num_rows != row["rows"]:
        raise UserError(
            f"holds {table.num_rows} rows, expected {row['rows']}", file=row["path"], remedy="ingest again"
        )
    ShardStore(store).mark_running(row["shard"])
    return pack(row["shard"], row["language"], table, row["input_hash"])


def commit_shard(batch: pa.Table, store: str) -> pa.Table:
    """Commit a labeled shard.

    Args:
        batch: its envelope.
        store: folder or URL of the shard store.

    Returns:
        One row with the shard's name and counts.
    """
    shard, language, table = unpack(batch)
    input_hash = batch.column("input_hash")[0].as_py()
    entities = int(pc.sum(pc.list_value_length(table.column("entities"))).as_py() or 0)
    counts = {"entities": entities, "quarantined": table.num_rows - table.column("fault").null_count}
    notes = _notes(table)
    ShardStore(store).commit(shard, table.select(schema.ALIGNED.names), input_hash, {**counts, **notes})
    row: dict[str, Any] = {"shard": shard, "language": language, "rows": table.num_rows, **counts}
    for stage in FUNCTION_STAGES:
        faults = pc.starts_with(table.column("fault"), f"{stage}: ")
        row[f"{stage}.quarantined"] = pc.sum(faults).as_py() or 0
    row |= {f"{stage}.tokens": notes.get(f"{stage}.tokens", 0) for stage in ("label", "align")}
    return pa.table({key: [value] for key, value in row.items()})


class ReadShards:
    """Actor: `read_shard`."""

    def __init__(self, job: LabelingJob):
        self.store, self.timer = job.store, ShardTimer(job.log_context, "read")

    def __call__(self, batch: pa.Table) -> pa.Table:
        with self.timer.shard(batch):
            return read_shard(batch, self.store)


class CommitShards:
    """Actor: `commit_shard`."""

    def __init__(self, job: LabelingJob):
        self.store, self.timer = job.store, ShardTimer(job.log_context, "commit")

    def __call__(self, batch: pa.Table) -> pa.Table:
        with self.timer.shard(batch):
            return commit_shard(batch, self.store)


class _FunctionActor:
    """Actor: adds a column to shards with a function in a child process.

    Args:
        job: of the graph.
        worker: child process that runs the function.

    Attributes:
        stage: name of the stage.
        input_columns: columns that the function gets.
        output: field of the new column.
        has_model: the function runs a model. Its input can be pretokenized.
        last: no later stage needs the pretokenized column.
    """

    stage: str
    input_columns: Sequence[str]
    output: pa.Field
    has_model = True
    last = False

    def __init__(self, job: LabelingJob, worker: SubprocessWorker):
        self.worker = worker
        columns = [*self.input_columns]
        if job.pretokenized and self.has_model:
            columns.append(schema.PRETOKENIZED.name)
        self.bisection = Bisection(self.stage, columns, self.output, self.worker, job.max_quarantined)
        self.timer = ShardTimer(job.log_context, self.stage, model=self.has_model)

    def __call__(self, batch: pa.Table) -> pa.Table:
        with self.timer.shard(batch) as log_fields:
            _, language, table = unpack(batch)
            notes = _notes(table)
            table, new = self.bisection(table, language)
            # The manifest of a shard is the same in every run, but seconds are not: they are only logged.
            log_fields |= {**new, "pairs": table.num_rows, "forward_seconds": new.pop("forward_seconds", 0.0)}
            notes = {**notes, **{f"{self.stage}.{key}": value for key, value in new.items()}}
            if self.last and schema.PRETOKENIZED.name in table.column_names:
                table = table.drop_columns(schema.PRETOKENIZED.name)
            return repack(batch, table.replace_schema_metadata({_NOTES: json.dumps(notes)}))


class TokenizeShards(_FunctionActor):
    """Actor: computes subwords and words for the models. Only graphs with GPUs have it."""

    stage, input_columns, output, has_model = "tokenize", ("source", "target"), schema.PRETOKENIZED, False

    def __init__(self, job: LabelingJob):
        super().__init__(job, SubprocessWorker(job.functions.tokenize, job.models))


class LabelShards(_FunctionActor):
    """Actor: runs the teacher of each shard's language."""

    stage, input_columns, output = "label", ("source",), schema.ENTITIES

    def __init__(self, job: LabelingJob, worker: SubprocessWorker | None = None):
        super().__init__(job, worker or SubprocessWorker(job.functions.label, job.models))


class AlignShards(_FunctionActor):
    """Actor: runs the aligner."""

    stage, input_columns, output, last = "align", ("source", "target", "entities"), schema.PROJECTIONS, True

    def __init__(self, job: LabelingJob, worker: SubprocessWorker | None = None):
        super().__init__(job, worker or SubprocessWorker(job.functions.align, job.models))


class ReadLabelAlignCommit:
    """Actor: all four steps, one shard after the other. Graphs without GPUs consist of it.

    Both models are in one child process, because a second one would need seconds and hundreds of megabytes to import torch.
    """

    def __init__(self, job: LabelingJob):
        self.worker = SubprocessWorker(LabelAndAlignFunction, job.functions, job.models)
        self.read, self.commit = ReadShards(job), CommitShards(job)
        self.label, self.align = LabelShards(job, self.worker), AlignShards(job, self.worker)

    def __call__(self, batch: pa.Table) -> pa.Table:
        return self.commit(self.align(self.label(self.read(batch))))


def _notes(table: pa.Table) -> dict[str, Any]:
    return json.loads((table.schema.metadata or {}).get(_NOTES, b"{}"))
