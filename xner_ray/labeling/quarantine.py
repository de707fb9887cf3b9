"""The quarantine: rows that could not be read, labeled or aligned, and how to retry them.

A retry deletes the manifests of the shards with rows that labeling quarantined. The next labeling then does these shards again.
Rows that ingest quarantined need another input. Quarantined rows are few, so this module uses plain loops.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from xner_ray.labeling.plan import LabelingPlan
from xner_ray.schema import QUARANTINE
from xner_ray.storage.shard_store import ShardStore

EXCERPT_CHARS = 200


def quarantined_rows(out: str | Path) -> pa.Table:
    """Return all quarantined rows of the labeling that was started last.

    Args:
        out: output folder of a run.

    Returns:
        A table with schema.QUARANTINE.

    Raises:
        UserError: the folder is no output folder, or no labeling was started.
    """
    out = Path(out)
    _, plan = LabelingPlan.latest(out)
    store = ShardStore(plan.store)
    tables = [_fault_rows(store.read(shard)) for shard in _quarantined_by_shard(store, plan)]
    tables += [pq.read_table(out / file) for file in plan.quarantine_files]
    return pa.concat_tables([QUARANTINE.empty_table(), *(table.cast(QUARANTINE) for table in tables)])


def retry_quarantined(out: str | Path) -> tuple[int, int]:
    """Delete the manifests of the shards with rows that labeling quarantined.

    Args:
        out: output folder of a run.

    Returns:
        The number of shards, and of quarantined rows in them.

    Raises:
        UserError: the folder is no output folder, or no labeling was started.
    """
    _, plan = LabelingPlan.latest(Path(out))
    store = ShardStore(plan.store)
    rows_by_shard = _quarantined_by_shard(store, plan)
    for shard in rows_by_shard:
        store.uncommit(shard)
    return len(rows_by_shard), sum(rows_by_shard.values())


def _quarantined_by_shard(store: ShardStore, plan: LabelingPlan) -> dict[str, int]:
    """Number of quarantined rows of each shard that has some."""
    manifests = store.committed().select(plan.shards)
    rows = {shard: extra.get("quarantined", 0) for shard, extra in zip(manifests, manifests.extras(), strict=True)}
    return {shard: number for shard, number in rows.items() if number}


def _fault_rows(table: pa.Table) -> pa.Table:
    """Return the rows of a shard (schema.ALIGNED) that have a fault, with schema.QUARANTINE."""
    rows = table.filter(pc.is_valid(table.column("fault"))).to_pylist()
    return pa.Table.from_pylist(
        [
            {
                **{name: row[name] for name in ("corpus", "language", "pair_id")},
                "stage": row["fault"].partition(": ")[0],
                "reason": row["fault"].partition(": ")[2],
                "excerpt": f"{row['source']}\t{row['target']}".encode("unicode_escape").decode()[:EXCERPT_CHARS],
            }
            for row in rows
        ],
        schema=QUARANTINE,
    )
