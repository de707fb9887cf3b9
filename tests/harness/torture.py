"""Random kills for as long as one likes: of drivers at random moments and at failpoints, and of actors in the middle of a shard.

    python -m tests.harness.torture --minutes 10 --json bench/results/torture.json

Rows are planted that raise or kill their process. Each output is killed a few times, resumed to the end and compared with an
undisturbed run. The JSON is `{kills, resumes, pairs, lost, doubled, bytes_equal, quarantined, planted, minutes, seed}`, where
`pairs`, `quarantined` and `planted` are summed over all outputs that were finished.
"""

from __future__ import annotations

import argparse
import random
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from tests.harness.ordeal import (
    Head,
    Ordeal,
    contents,
    kill_an_actor,
    lost_and_doubled,
    planted_rows,
    quarantined_rows,
    ray_head,
    write_json,
)

STEPS = ("opened", "half", "written", "synced", "named", "durable")
FAILPOINTS = [f"{part}.{step}" for part in ("data", "manifest") for step in STEPS]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--pairs", type=int, default=600, help="pairs a language")
    parser.add_argument("--shard-rows", type=int, default=60)
    parser.add_argument("--kills", type=int, default=3, help="kills an output, before it is let finish")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    choice = random.Random(asked.seed)
    told = dict.fromkeys(("kills", "resumes", "pairs", "lost", "doubled", "quarantined", "planted"), 0)
    told |= {"bytes_equal": True, "minutes": asked.minutes, "seed": asked.seed}
    with tempfile.TemporaryDirectory() as temporary, ray_head() as head:
        ordeal = Ordeal(Path(temporary), head.address, asked.pairs, asked.shard_rows, poison=True)
        reference = ordeal.new_out()
        seconds = ordeal.finish(reference)
        wanted, planted = contents(reference), planted_rows(reference)
        print(f"undisturbed: {seconds:.0f} s, {len(wanted['rows']):,} pairs, {len(planted)} planted", flush=True)
        deadline = time.monotonic() + 60 * asked.minutes
        while time.monotonic() < deadline:
            out = ordeal.new_out(reference)
            for _ in range(asked.kills):
                told["kills"] += _disturb(ordeal, head, out, choice, seconds)
                told["resumes"] += 1
            ordeal.finish(out)
            found = contents(out)
            lost, doubled = lost_and_doubled(found["rows"], wanted["rows"])
            told["lost"], told["doubled"] = told["lost"] + lost, told["doubled"] + doubled
            told["bytes_equal"] &= found == wanted
            told["pairs"] += len(found["rows"])
            told["quarantined"] += len(quarantined_rows(out))
            told["planted"] += len(planted)
            print(", ".join(f"{k} {v}" for k, v in told.items()), flush=True)
            write_json(asked.json, told)
            shutil.rmtree(out)


def _disturb(ordeal: Ordeal, head: Head, out: Path, choice: random.Random, seconds: float) -> int:
    """One driver that dies, or whose actors do; returns how many processes were killed."""
    how = choice.choice(["moment", "failpoint", "actors"])
    if how == "moment":
        return int(ordeal.killed_after(out, choice.uniform(0.2, 1.0) * seconds))
    driver = ordeal.start(out, *(["--failpoint", choice.choice(FAILPOINTS)] if how == "failpoint" else []))
    killed, deadline = 0, time.monotonic() + 2 * seconds
    while driver.poll() is None and time.monotonic() < deadline:
        try:
            driver.wait(choice.uniform(1.0, 4.0))
        except subprocess.TimeoutExpired:
            if how == "actors" and killed < 3:
                killed += kill_an_actor(head, choice)
    killed += driver.poll() is None or driver.returncode < 0
    driver.kill()
    driver.wait()
    return killed


if __name__ == "__main__":
    main()
