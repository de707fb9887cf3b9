"""The rows that could not be read, labeled or aligned: which and why, and how to have them tried again.

A retry takes back the commits of the shards that hold such rows, so that the next labeling does these shards anew; rows that
ingest set aside need another input. Quarantined rows are few, so plain loops.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from xner_ray.labeling.status import read_plan
from xner_ray.schema import QUARANTINE
from xner_ray.storage.shard_store import ShardStore

EXCERPT = 200


def quarantined(out: str | Path) -> pa.Table:
    """All quarantined rows of the labeling that was started last, as schema.QUARANTINE. Raises: UserError as `status`."""
    out = Path(out)
    _, plan = read_plan(out)
    store = ShardStore(plan["root"])
    tables = [_rows(store.read(shard)) for shard in _shards(store, plan)]
    tables += [pq.read_table(out / file) for file in plan.get("quarantine", ())]
    return pa.concat_tables([QUARANTINE.empty_table(), *(t.cast(QUARANTINE) for t in tables)])


def retry(out: str | Path) -> tuple[int, int]:
    """Make the shards with rows that labeling set aside missing again; returns how many (shards, rows)."""
    _, plan = read_plan(Path(out))
    store = ShardStore(plan["root"])
    shards = _shards(store, plan)
    for shard in shards:
        store.uncommit(shard)
    return len(shards), sum(shards.values())


def _shards(store: ShardStore, plan: dict) -> dict[str, int]:
    found = {s: m.extra.get("quarantined", 0) for s, m in store.committed().items() if s in plan["shards"]}
    return {shard: rows for shard, rows in found.items() if rows}


def _rows(table: pa.Table) -> pa.Table:
    """Rows of schema.ALIGNED that have a fault."""
    rows = table.filter(pc.is_valid(table.column("fault"))).to_pylist()
    return pa.Table.from_pylist(
        [
            {
                **{k: r[k] for k in ("corpus", "language", "pair_id")},
                "stage": r["fault"].partition(": ")[0],
                "reason": r["fault"].partition(": ")[2],
                "excerpt": f"{r['source']}\t{r['target']}".encode("unicode_escape").decode()[:EXCERPT],
            }
            for r in rows
        ],
        schema=QUARANTINE,
    )
