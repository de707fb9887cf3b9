"""The progress of a labeling, read from the output folder alone. It needs no Ray and no config, and the run may be active.

A shard is done if it has a manifest, and planned if it is in the plan that the label stage wrote. The ledger compares the counts
of ingest with those of the filter stage.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from xner_ray.labeling.plan import LabelingPlan
from xner_ray.observability.work_log import count_damaged
from xner_ray.projection.ledger import Ledger, LedgerError
from xner_ray.storage.manifest_table import Manifests
from xner_ray.storage.output_dir import run_name
from xner_ray.storage.shard_store import ShardStore
from xner_ray.storage.stage_dir import PARTS, read_parts

RATE_WINDOW_SECONDS = 600.0  # commits of this time count for pairs per second
STALE_SECONDS = 1800.0  # the actor of a shard that was started longer ago is dead


def status(out: str | Path) -> dict[str, Any]:
    """Shards, speed and ledger of the labeling that was started last.

    Args:
        out: output folder of a run.

    Returns:
        name, root (of the shard store), shards {planned, done, in_flight, missing}, pairs {planned, done, quarantined},
        pairs_per_second and minutes_left (None while nothing is committed), ledger (as `Ledger.to_json`, with not_judged and
        adds_up), damaged_log_lines (of the work log, which are skipped).

    Raises:
        UserError: the folder is no output folder, or no labeling was started.
    """
    out = Path(out)
    folder, plan = LabelingPlan.latest(out)
    store = ShardStore(plan.store)
    done = store.committed().select(plan.shards)
    in_flight = [
        shard
        for shard, age in store.running().items()
        if age < STALE_SECONDS and shard in plan.shards and shard not in done
    ]
    rate = _pairs_per_second(store, done)
    planned_pairs, done_pairs = sum(plan.shards.values()), sum(done.column("rows"))
    return {
        "name": run_name(out),
        "root": plan.store,
        "shards": {
            "planned": len(plan.shards),
            "done": len(done),
            "in_flight": len(in_flight),
            "missing": len(plan.shards) - len(done) - len(in_flight),
        },
        "pairs": {
            "planned": planned_pairs,
            "done": done_pairs,
            "quarantined": sum(extra.get("quarantined", 0) for extra in done.extras()),
        },
        "pairs_per_second": rate and round(rate, 1),
        "minutes_left": rate and round((planned_pairs - done_pairs) / rate / 60, 1),
        "ledger": _ledger(out, folder, plan, done),
        "damaged_log_lines": count_damaged(out),
    }


def _pairs_per_second(store: ShardStore, done: Manifests) -> float | None:
    ages = {Path(name).stem: age for name, age in store.blobs.list("manifest").items()}
    recent = sorted(
        (ages[shard], rows)
        for shard, rows in done.by_shard("rows").items()
        if ages.get(shard, RATE_WINDOW_SECONDS) < RATE_WINDOW_SECONDS
    )
    if len(recent) < 2:
        return None
    # The time starts at the oldest commit, whose rows were labeled before it.
    return sum(rows for _, rows in recent[:-1]) / max(1e-3, recent[-1][0] - recent[0][0])


def _ledger(out: Path, folder: Path, plan: LabelingPlan, done: Manifests) -> dict[str, Any]:
    ledger = Ledger.from_rows(plan.ledger)
    filtered = Manifests()
    parts = [(path, read_parts(path.parent) or {}) for path in out.glob(f"filter/*/{PARTS}")]
    folders = [path for path, content in parts if content.get("label") == folder.name]
    if folders:
        filtered = ShardStore(max(folders, key=lambda p: (p.stat().st_mtime_ns, p)).parent).committed()
    not_judged = sum(plan.shards.values())
    labeled = {f"{shard}-{sha256[:8]}": shard for shard, sha256 in done.by_shard("sha256").items()}
    judged = filtered.select(labeled)
    for name, extra in zip(judged, judged.extras(), strict=True):
        ledger.merge(Ledger.from_rows(extra["ledger"]))
        not_judged -= plan.shards[labeled[name]]
    total = ledger.to_json()
    num_out = total["kept"] + total["kept_no_entity"] + sum(total["dropped"].values()) + total["quarantined"]
    adds_up = total["read"] == num_out + not_judged
    if not not_judged:
        try:
            ledger.check()  # when all pairs have a verdict, the counts of each language and corpus must add up
        except LedgerError:
            adds_up = False
    return {**total, "not_judged": not_judged, "adds_up": adds_up}
