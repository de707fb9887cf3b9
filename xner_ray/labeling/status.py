"""How far a run is, from what lies in its output folder alone: no Ray, no config, and it may run while the run does.

Done is what manifests name, planned is what the labeling stage wrote down when it last started, and the ledger adds up what
ingest read against what judging gave out.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from xner_ray.errors import UserError
from xner_ray.projection.ledger import Ledger, LedgerError
from xner_ray.storage.shard_store import Manifest, ShardStore

PLAN = "plan.json"  # in the folder of a labeling: its store, its shards, and the books of ingest
WINDOW = 600.0  # seconds that count for pairs a second
STALE = 1800.0  # a shard begun longer ago is nobody's any more: its worker is dead


def status(out: str | Path) -> dict[str, Any]:
    """Shards, speed and ledger of the labeling that was started last in an output folder.

    Returns:
        name, root, shards {planned, done, in_flight, missing}, pairs {planned, done, quarantined}, pairs_per_second and
        minutes_left (None while nothing is being committed), ledger (as `Ledger.to_json`, with not_judged and adds_up).

    Raises:
        UserError: no run of ours wrote there, or it has not come to labeling.
    """
    out = Path(out)
    folder, plan = read_plan(out)
    store, planned = ShardStore(plan["root"]), plan["shards"]
    done = {shard: m for shard, m in store.committed().items() if shard in planned}
    begun = [s for s, age in store.running().items() if age < STALE and s in planned and s not in done]
    rate = _pairs_per_second(store, done)
    pairs = sum(s["rows"] for s in planned.values())
    finished = sum(m.rows for m in done.values())
    return {
        "name": json.loads((out / "run.json").read_text())["name"],
        "root": plan["root"],
        "shards": {
            "planned": len(planned),
            "done": len(done),
            "in_flight": len(begun),
            "missing": len(planned) - len(done) - len(begun),
        },
        "pairs": {
            "planned": pairs,
            "done": finished,
            "quarantined": sum(m.extra.get("quarantined", 0) for m in done.values()),
        },
        "pairs_per_second": rate and round(rate, 1),
        "minutes_left": rate and round((pairs - finished) / rate / 60, 1),
        "ledger": _ledger(out, folder, plan, done),
    }


def read_plan(out: Path) -> tuple[Path, dict[str, Any]]:
    """The folder of the labeling that was started last, and its plan."""
    if not (out / "run.json").is_file():
        raise UserError("is no output folder of a run", file=out, remedy="give the `out` of a config")
    plans = sorted(out.glob(f"label/*/{PLAN}"), key=lambda p: (p.stat().st_mtime_ns, p))
    if not plans:
        raise UserError("no labeling was started here", file=out, remedy="start one with `xner label CONFIG`")
    return plans[-1].parent, json.loads(plans[-1].read_text())


def _pairs_per_second(store: ShardStore, done: dict[str, Manifest]) -> float | None:
    ages = {Path(n).stem: age for n, age in store.place.ages("manifest").items()}
    recent = sorted((ages[s], m.rows) for s, m in done.items() if ages.get(s, WINDOW) < WINDOW)
    if len(recent) < 2:
        return None
    # The oldest commit starts the clock, its rows were done before.
    return sum(rows for _, rows in recent[:-1]) / max(1e-3, recent[-1][0] - recent[0][0])


def _ledger(out: Path, folder: Path, plan: dict[str, Any], done: dict[str, Manifest]) -> dict[str, Any]:
    ledger = Ledger.from_rows(plan["ledger"])
    judged: dict[str, Manifest] = {}
    folders = [p for p in out.glob("judged/*/parts.json") if json.loads(p.read_text()).get("label") == folder.name]
    if folders:
        judged = ShardStore(max(folders, key=lambda p: (p.stat().st_mtime_ns, p)).parent).committed()
    waiting = sum(s["rows"] for s in plan["shards"].values())
    for shard, labeled in done.items():
        if made := judged.get(f"{shard}-{labeled.sha256[:8]}"):
            ledger.merge(Ledger.from_rows(made.extra["ledger"]))
            waiting -= plan["shards"][shard]["rows"]
    total = ledger.to_json()
    came_out = total["kept"] + total["kept_no_entity"] + sum(total["dropped"].values()) + total["quarantined"]
    adds_up = total["read"] == came_out + waiting
    if not waiting:
        try:
            ledger.check()  # once all is judged, every language and corpus for itself
        except LedgerError:
            adds_up = False
    return {**total, "not_judged": waiting, "adds_up": adds_up}
