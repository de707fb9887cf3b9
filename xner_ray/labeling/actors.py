"""What happens to one shard in the labeling graph, and the actors that do it: read, label, align, commit.

A shard travels as an envelope, one row of the graph. Models run in a child of their actor, which rows may kill
(`xner_ray/labeling/isolation`).
"""

from __future__ import annotations

import json
import logging
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from xner_ray import schema
from xner_ray.errors import UserError
from xner_ray.labeling.isolation import Bisection, SubprocessWorker
from xner_ray.observability.shard_timer import LogContext, ShardTimer
from xner_ray.storage.envelope import pack, repack, unpack
from xner_ray.storage.shard_store import ShardStore

logger = logging.getLogger(__name__)

_NOTES = b"xner.notes"
GUARDED = ("tokenize", "label", "align")  # stages that set rows aside


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


def commit_shard(batch: pa.Table, out: str) -> pa.Table:
    """Commit a labeled shard; what passes on is its name and counts, see `committed_row`."""
    shard, language, table = unpack(batch)
    input_hash = batch.column("input_hash")[0].as_py()
    entities = int(pc.sum(pc.list_value_length(table.column("entities"))).as_py() or 0)
    counts = {"entities": entities, "quarantined": table.num_rows - table.column("fault").null_count}
    notes = _notes(table)
    ShardStore(out).commit(shard, table.select(schema.ALIGNED.names), input_hash, {**counts, **notes})
    row: dict[str, Any] = {"shard": shard, "language": language, "rows": table.num_rows, **counts}
    for stage in GUARDED:
        faults = pc.starts_with(table.column("fault"), f"{stage}: ")
        row[f"{stage}.quarantined"] = pc.sum(faults).as_py() or 0
    row |= {f"{stage}.tokens": notes.get(f"{stage}.tokens", 0) for stage in ("label", "align")}
    return pa.table({key: [value] for key, value in row.items()})


class ReadShards:
    """Actor: `read_shard`."""

    def __init__(self, out: str, telling: LogContext):
        self.out, self.watch = out, ShardTimer(telling, "read")

    def __call__(self, batch: pa.Table) -> pa.Table:
        with self.watch.shard(batch):
            return read_shard(batch, self.out)


class CommitShards:
    """Actor: `commit_shard`."""

    def __init__(self, out: str, telling: LogContext):
        self.out, self.watch = out, ShardTimer(telling, "commit")

    def __call__(self, batch: pa.Table) -> pa.Table:
        with self.watch.shard(batch):
            return commit_shard(batch, self.out)


class _GuardedShards:
    """Actor: a stage over whole shards, in a child process; its notes travel in the table's metadata."""

    def __init__(self, guard: Bisection, telling: LogContext, model: bool = True, last: bool = False):
        self.guard, self.last = guard, last
        self.watch = ShardTimer(telling, guard.stage, model=model)

    def __call__(self, batch: pa.Table) -> pa.Table:
        with self.watch.shard(batch) as told:
            _, language, table = unpack(batch)
            notes = _notes(table)
            table, new = self.guard(table, language)
            # Seconds differ each time, and a manifest is to say the same of the same shard.
            told |= {**new, "pairs": table.num_rows, "forward_seconds": new.pop("forward_seconds", 0.0)}
            notes = {**notes, **{f"{self.guard.stage}.{k}": v for k, v in new.items()}}
            if self.last and schema.CUT.name in table.column_names:
                table = table.drop_columns(schema.CUT.name)
            return repack(batch, table.replace_schema_metadata({_NOTES: json.dumps(notes)}))


class TokenizeShards(_GuardedShards):
    """Pieces and words for the other two, so that they only run models; without a GPU there is no such stage."""

    def __init__(self, work: str, settings: dict[str, Any], max_share: float, telling: LogContext):
        guard = Bisection("tokenize", ["source", "target"], schema.CUT, SubprocessWorker(work, settings), max_share)
        super().__init__(guard, telling, model=False)


class _ModelShards(_GuardedShards):
    """A stage that asks a model. `cut`: the shards come tokenized. `child`: of another stage, which does this one's work, too."""

    stage: str
    needs: list[str]
    column: pa.Field
    last = False

    def __init__(
        self,
        work: str,
        settings: dict[str, Any],
        max_share: float,
        telling: LogContext,
        cut: bool = False,
        child: SubprocessWorker | None = None,
    ):
        needs = [*self.needs, *[schema.CUT.name][: int(cut)]]
        guard = Bisection(self.stage, needs, self.column, child or SubprocessWorker(work, settings), max_share)
        super().__init__(guard, telling, last=self.last)


class LabelShards(_ModelShards):
    """The teachers."""

    stage, needs, column = "label", ["source"], schema.ENTITIES


class AlignShards(_ModelShards):
    """The aligner."""

    stage, needs, column, last = "align", ["source", "target", "entities"], schema.PROJECTIONS, True


Modeled = tuple[str, dict[str, Any], float, LogContext, bool]  # arguments of `LabelShards` or `AlignShards`


class ReadLabelAlignCommit:
    """Actor: all four, one shard after the other, as CPUs do it. Arguments: those of each.

    Both models are in one child: a second one would import torch again, for seconds and hundreds of megabytes.
    """

    BOTH = "xner_ray.labeling.shard_functions:BothWork"

    def __init__(
        self, reads: tuple[str, LogContext], labels: Modeled, aligns: Modeled, commits: tuple[str, LogContext]
    ):
        self.child = SubprocessWorker(self.BOTH, {"label": labels[:2], "align": aligns[:2]})
        self.read, self.commit = ReadShards(*reads), CommitShards(*commits)
        self.label = LabelShards(*labels, child=self.child)
        self.align = AlignShards(*aligns, child=self.child)

    def __call__(self, batch: pa.Table) -> pa.Table:
        return self.commit(self.align(self.label(self.read(batch))))


def _notes(table: pa.Table) -> dict[str, Any]:
    return json.loads((table.schema.metadata or {}).get(_NOTES, b"{}"))
