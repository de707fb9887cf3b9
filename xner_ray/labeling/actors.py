"""The actors of the labeling graph, and what each does with one shard: read, tokenize, label, align, commit.

A shard travels through the graph as an envelope, which is one row. Models run in a child process of their actor, because a row
can kill the process (`xner_ray/labeling/isolation`).
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from xner_ray import schema
from xner_ray.errors import UserError
from xner_ray.labeling.isolation import (
    Bisection,
    ChildStartError,
    DeviceLostError,
    SubprocessWorker,
    device_id,
    device_name,
)
from xner_ray.labeling.shard_functions import LabelAndAlignFunction, LabelingModels, ShardFunctions
from xner_ray.observability.shard_timer import LogContext, ShardTimer, count_model_actor
from xner_ray.storage.envelope import pack, repack, unpack
from xner_ray.storage.shard_store import ShardStore
from xner_ray.storage.verify import read_table

_NOTES = b"xner.notes"  # metadata key of the notes of earlier stages
_UNDONE = b"xner.undone"  # metadata key of a shard that was not labeled: see `commit_shard`
MAX_DEVICE_DEATHS = 3  # of the child of an actor, before its device is left out
FUNCTION_STAGES = ("tokenize", "label", "align")  # stages that can quarantine rows


log = logging.getLogger(__name__)
# A row that shows whether a device works.
SOUND = pa.table(
    {
        "source": ["Anna Keller went to Vienna."],
        "target": ["Anna Keller fuhr nach Wien."],
        "entities": pa.array([[{"start": 0, "end": 11, "type": "PER", "score": 1.0}]], schema.ENTITIES.type),
    }
)


@dataclass(frozen=True)
class LabelingJob:
    """What all actors of a labeling graph share. It is the only argument of their constructors.

    Attributes:
        store: folder or URL of the shard store.
        functions: classes of the functions that child processes run.
        models: argument of the functions.
        max_quarantined: largest allowed ratio of failed rows in a shard.
        log_context: for the log lines and metrics of the actors.
        pretokenized: the graph has a tokenize stage before the models. Only graphs with GPUs have it.
        left_out_seconds: an actor whose device is left out gives back one shard in this time.
        accelerator_type: kind of GPU, which manifests name; None: no GPU, or Ray does not know its kind.
    """

    store: str
    functions: ShardFunctions
    models: LabelingModels
    max_quarantined: float
    log_context: LogContext
    pretokenized: bool = False
    left_out_seconds: float = 30.0
    accelerator_type: str | None = None


def read_shard(row: Mapping[str, Any], store: str) -> pa.Table:
    """Read a shard.

    Args:
        row: a `ShardDescriptor`.
        store: folder or URL of the shard store, which notes that the shard is in flight.

    Returns:
        The envelope of the shard.

    Raises:
        UserError: the file is gone or damaged, or has another number of rows than the descriptor.
    """
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
        One row with the shard's name and counts. If it was not labeled, nothing is committed. Then `undone` names the device,
        `device` is its id, and `problem` says what happened.
    """
    shard, language, table = unpack(batch)
    if undone := (table.schema.metadata or {}).get(_UNDONE):
        return pa.table({key: [value] for key, value in {"shard": shard, **json.loads(undone)}.items()})
    input_hash = batch.column("input_hash")[0].as_py()
    entities = int(pc.sum(pc.list_value_length(table.column("entities"))).as_py() or 0)
    counts = {"entities": entities, "quarantined": table.num_rows - table.column("fault").null_count}
    notes = _notes(table)
    ShardStore(store).commit(shard, table.select(schema.ALIGNED.names), input_hash, {**counts, **notes})
    row: dict[str, Any] = {"shard": shard, "undone": "", "language": language, "rows": table.num_rows, **counts}
    for stage in FUNCTION_STAGES:
        faults = pc.starts_with(table.column("fault"), f"{stage}: ")
        row[f"{stage}.quarantined"] = pc.sum(faults).as_py() or 0
    row |= {f"{stage}.tokens": notes.get(f"{stage}.tokens", 0) for stage in ("label", "align")}
    return pa.table({key: [value] for key, value in row.items()})


class FunctionStep:
    """Adds a column to shards with a function in a child process. Actors are made of steps.

    Args:
        job: of the graph.
        worker: child process that runs the function.

    Attributes:
        stage: name of the step.
        input_columns: columns that the function gets.
        output: field of the new column.
        has_model: the function runs a model. Its input can be pretokenized.
        last: no later step needs the pretokenized column.
    """

    stage: str
    input_columns: Sequence[str]
    output: pa.Field
    has_model = True
    last = False

    def __init__(self, job: LabelingJob, worker: SubprocessWorker):
        columns = [*self.input_columns]
        if job.pretokenized and self.has_model:
            columns.append(schema.PRETOKENIZED.name)
        sound = SOUND.select(self.input_columns) if job.pretokenized and self.has_model else None
        self.bisection = Bisection(self.stage, columns, self.output, worker, job.max_quarantined, sound)
        self.timer = ShardTimer(job.log_context, self.stage)
        notes = {"precision": job.models.precision, "accelerator_type": job.accelerator_type}
        is_noted = self.has_model and not job.models.null_model
        self.notes = {key: value for key, value in notes.items() if is_noted and value}

    def __call__(self, batch: pa.Table) -> pa.Table:
        """The envelope of the shard with the new column."""
        with self.timer.shard(batch) as log_fields:
            _, language, table = unpack(batch)
            notes = _notes(table)
            table, new = self.bisection(table, language)
            notes |= self.notes
            # The manifest of a shard is the same in every run, but seconds are not: they are only logged.
            log_fields |= {**new, "pairs": table.num_rows, "forward_seconds": new.pop("forward_seconds", 0.0)}
            notes = {**notes, **{f"{self.stage}.{key}": value for key, value in new.items()}}
            if self.last and schema.PRETOKENIZED.name in table.column_names:
                table = table.drop_columns(schema.PRETOKENIZED.name)
            return repack(batch, table.replace_schema_metadata({_NOTES: json.dumps(notes)}))


class TokenizeStep(FunctionStep):
    """Computes subwords and words for the models. Only graphs with GPUs have it."""

    stage, input_columns, output, has_model = "tokenize", ("source", "target"), schema.PRETOKENIZED, False


class LabelStep(FunctionStep):
    """Runs the teacher of each shard's language."""

    stage, input_columns, output = "label", ("source",), schema.ENTITIES


class AlignStep(FunctionStep):
    """Runs the aligner."""

    stage, input_columns, output, last = "align", ("source", "target", "entities"), schema.PROJECTIONS, True


class ReadShards:
    """`read_shard` with its time as a metric and a log line."""

    def __init__(self, job: LabelingJob):
        self.store, self.timer = job.store, ShardTimer(job.log_context, "read")

    def __call__(self, shard: Mapping[str, Any]) -> pa.Table:
        """The envelope of a shard."""
        with self.timer.named_shard(shard["shard"]):
            return read_shard(shard, self.store)


class PrepareShards:
    """Actor: reads and tokenizes the shards of a chunk. Only graphs with GPUs have it."""

    def __init__(self, job: LabelingJob):
        self.read = ReadShards(job)
        self.worker = SubprocessWorker(job.functions.tokenize, job.models)
        self.tokenize = TokenizeStep(job, self.worker)

    def __call__(self, batch: pa.Table) -> Iterator[pa.Table]:
        """The envelopes of the shards of one row of descriptors."""
        for shard in chunk_of(batch):
            yield self.tokenize(self.read(shard))


class LabelAndAlign:
    """Actor: runs teacher and aligner, both in one child process.

    After three deaths of the child while it started or for sound rows, the device is left out: the actor gives shards back as
    they are, slowly, so that the other actors get nearly all of them. `graph.label_shards` sends them through a second graph. The
    actor stays alive, because Ray would start another one on the same device.
    """

    def __init__(self, job: LabelingJob):
        self.device, self.deaths, self.left_out_seconds = device_name(), 0, job.left_out_seconds
        self.problem = ""
        self.worker = SubprocessWorker(LabelAndAlignFunction, job.functions, job.models, start=False)
        if job.pretokenized:
            self._start_child()
        else:
            self.worker.restart()
        self.label, self.align = LabelStep(job, self.worker), AlignStep(job, self.worker)
        count_model_actor(job.log_context)

    def __call__(self, batch: pa.Table) -> pa.Table:
        """The envelope of a labeled and aligned shard, or of a shard that could not be labeled here."""
        if self.deaths >= MAX_DEVICE_DEATHS:
            time.sleep(self.left_out_seconds)
        while self.deaths < MAX_DEVICE_DEATHS:
            try:
                return self.align(self.label(batch))
            except DeviceLostError as e:
                self._count_death(str(e))
                self._start_child()
        _, _, table = unpack(batch)
        undone = {"undone": self.device, "device": device_id(), "problem": self.problem}
        return repack(batch, table.replace_schema_metadata({_UNDONE: json.dumps(undone)}))

    def _start_child(self) -> None:
        """Start a child on the device of this actor. A start that fails is a death too."""
        while self.deaths < MAX_DEVICE_DEATHS:
            try:
                self.worker.restart()
                break
            except ChildStartError as e:
                self._count_death(str(e))

    def _count_death(self, problem: str) -> None:
        self.deaths, self.problem = self.deaths + 1, problem
        log.warning("%s: death %d of %d: %s", self.device, self.deaths, MAX_DEVICE_DEATHS, problem)


class CommitShards:
    """Actor: `commit_shard`."""

    def __init__(self, job: LabelingJob):
        self.store, self.timer = job.store, ShardTimer(job.log_context, "commit")

    def __call__(self, batch: pa.Table) -> pa.Table:
        """The row of a committed shard."""
        with self.timer.shard(batch):
            return commit_shard(batch, self.store)


class ReadLabelAlignCommit:
    """Actor: all steps of the shards of a chunk, one shard after the other. Graphs without GPUs consist of it.

    Both models are in one child process, because a second one would need seconds and hundreds of megabytes to import torch.
    """

    def __init__(self, job: LabelingJob):
        self.read, self.models, self.commit = ReadShards(job), LabelAndAlign(job), CommitShards(job)
        self.worker = self.models.worker

    def __call__(self, batch: pa.Table) -> Iterator[pa.Table]:
        """The rows of the committed shards of one row of descriptors."""
        for shard in chunk_of(batch):
            yield self.commit(self.models(self.read(shard)))


def chunk_of(batch: pa.Table) -> list[dict[str, Any]]:
    """The shard descriptors of one row of the graph's input."""
    (shards,) = batch.column("shards").to_pylist()
    return shards


def _notes(table: pa.Table) -> dict[str, Any]:
    return json.loads((table.schema.metadata or {}).get(_NOTES, b"{}"))
