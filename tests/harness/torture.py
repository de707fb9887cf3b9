"""A torture test of labeling: it kills drivers at random times and at failpoints, and actors in the middle of a shard.

    python -m tests.harness.torture --minutes 10 --json bench/results/torture.json

Some rows raise an error or kill their process. Each output is disturbed a few times, then resumed to its end and compared with
the output of an undisturbed run. The JSON is `{kills, resumes, pairs, lost, doubled, bytes_equal, quarantined, planted, minutes,
seed}`. `pairs`, `quarantined` and `planted` (poisoned rows) are sums over all finished outputs.
"""

from __future__ import annotations

import argparse
import random
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from tests.harness.null_runs import (
    NullRuns,
    RayHead,
    contents,
    count_lost_and_doubled,
    kill_an_actor,
    poisoned_keys,
    quarantined_keys,
    ray_head,
    write_json,
)

STEPS = ("opened", "half", "written", "synced", "named", "durable")
FAILPOINTS = [f"{part}.{step}" for part in ("data", "manifest") for step in STEPS]


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--pairs", type=int, default=600, help="sentence pairs of each language")
    parser.add_argument("--shard-rows", type=int, default=60)
    parser.add_argument("--kills", type=int, default=3, help="disturbed drivers of each output")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    rng = random.Random(args.seed)
    totals = dict.fromkeys(("kills", "resumes", "pairs", "lost", "doubled", "quarantined", "planted"), 0)
    totals |= {"bytes_equal": True, "minutes": args.minutes, "seed": args.seed}
    with tempfile.TemporaryDirectory() as temporary, ray_head() as head:
        runs = NullRuns(Path(temporary), head.address, args.pairs, args.shard_rows, poison=True)
        reference = runs.new_out()
        seconds = runs.finish(reference)
        expected, poisoned = contents(reference), poisoned_keys(reference)
        print(f"undisturbed: {seconds:.0f} s, {len(expected['rows']):,} pairs, {len(poisoned)} planted", flush=True)
        deadline = time.monotonic() + 60 * args.minutes
        while time.monotonic() < deadline:
            out = runs.new_out(reference)
            for _ in range(args.kills):
                totals["kills"] += _disturb(runs, head, out, rng, seconds)
                totals["resumes"] += 1
            runs.finish(out)
            actual = contents(out)
            lost, doubled = count_lost_and_doubled(actual["rows"], expected["rows"])
            totals["lost"], totals["doubled"] = totals["lost"] + lost, totals["doubled"] + doubled
            totals["bytes_equal"] &= actual == expected
            totals["pairs"] += len(actual["rows"])
            totals["quarantined"] += len(quarantined_keys(out))
            totals["planted"] += len(poisoned)
            print(", ".join(f"{name} {value}" for name, value in totals.items()), flush=True)
            write_json(args.json, totals)
            shutil.rmtree(out)


def _disturb(runs: NullRuns, head: RayHead, out: Path, rng: random.Random, seconds: float) -> int:
    """Start a driver, then kill it or some of its actors; returns how many processes were killed."""
    target = rng.choice(["moment", "failpoint", "actors"])
    if target == "moment":
        return int(runs.kill_after(out, rng.uniform(0.2, 1.0) * seconds))
    driver = runs.start(out, *(["--failpoint", rng.choice(FAILPOINTS)] if target == "failpoint" else []))
    killed, deadline = 0, time.monotonic() + 2 * seconds
    while driver.poll() is None and time.monotonic() < deadline:
        try:
            driver.wait(rng.uniform(1.0, 4.0))
        except subprocess.TimeoutExpired:
            if target == "actors" and killed < 3:
                killed += kill_an_actor(head, rng)
    killed += driver.poll() is None or driver.returncode < 0
    driver.kill()
    driver.wait()
    return killed


if __name__ == "__main__":
    main()
