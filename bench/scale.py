"""What labeling costs besides the models: speed and peak memory of the whole graph over generated dumps, on the null model.

    python -m bench.scale --pairs 100000,1000000,5000000 --json bench/results/scale.json

Half of the pairs are German, half Chinese; all are distinct. Tokenizing, questions, Arrow, Parquet and commits are real, only
forward passes are not. The JSON is `{runs: [{pairs, seconds, pairs_per_second, peak_driver_mb, peak_worker_mb,
object_store_mb, stages}], exponent, cpus}`: `seconds` are those of the labeling stage, Ray being up; memory is what is
resident in one process (the largest worker), without what it shares of the object store; the exponent is that of seconds ~
pairs ** exponent.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from tests.harness.null_runs import write_json

CONFIG = """\
name: scale
out: {out}
languages: [de, zh]
sample: {{pairs: {pairs}, seed: 3, gold_sentences: 10, eval_sentences: 5}}
gold: [{{path: "{{data}}/gold/en.train.conll"}}]
corpora:
  - {{name: SampleNews, domain: news, format: moses, path: "{{data}}/SampleNews/v1/moses/{{pair}}.txt.zip"}}
  - {{name: SampleTalks, domain: talks, format: moses, path: "{{data}}/SampleTalks/v1/moses/{{pair}}.txt.zip"}}
ingest: {{max_pairs_per_language: null, shard_rows: {shard_rows}, max_quarantined: 1.0}}
teacher: {{encoder: embedded}}
label: {{null_model: true}}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", default="100000,1000000", help="sizes, comma between")
    parser.add_argument("--shard-rows", type=int, default=5000)
    parser.add_argument("--store-mb", type=int, default=600, help="Ray's object store")
    parser.add_argument("--folder", help="where the dumps go; default: the system's temporary folder")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    runs: list[dict[str, Any]] = []
    for pairs in map(int, asked.pairs.split(",")):
        with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
            runs.append(measure(Path(folder), pairs, asked.shard_rows, asked.store_mb))
        print(json.dumps(runs[-1]), flush=True)
        write_json(asked.json, {"runs": runs, "exponent": exponent(runs), "cpus": os.cpu_count()})


def measure(folder: Path, pairs: int, shard_rows: int, store_mb: int) -> dict[str, Any]:
    config, told = folder / "scale.yaml", folder / "told.json"
    config.write_text(CONFIG.format(out=folder / "out", pairs=pairs // 2, shard_rows=shard_rows))
    stages: dict[str, float] = {}
    run: dict[str, Any] = {}
    for stage in ("ingest", "label", "filter"):
        command = [sys.executable, "-m", "tests.harness.null_driver", str(config), "--local", "--stage", stage]
        command += ["--store-mb", str(store_mb), "--json", str(told)]
        driver_mb, worker_mb = watch(command, folder / f"{stage}.log")
        of_stage = json.loads(told.read_text())
        stages[stage] = of_stage["seconds"]
        if stage == "label":
            plan = json.loads(next((folder / "out" / "label").glob("*/plan.json")).read_text())
            labeled = sum(plan["shards"].values())  # less than asked: a third corpus is left out
            run |= {
                "pairs": labeled,
                "seconds": of_stage["seconds"],
                "pairs_per_second": round(labeled / of_stage["seconds"], 1),
                "peak_driver_mb": round(driver_mb),
                "peak_worker_mb": round(worker_mb),
                "object_store_mb": of_stage["object_store_mb"],
            }
    return {**run, "stages": stages}


def watch(command: list[str], log: Path) -> tuple[float, float]:
    """Run a driver; returns its peak MB, and those of the largest of its workers and their children."""
    import psutil

    with log.open("w") as out:
        driver = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
    own = psutil.Process(driver.pid)
    peaks = [0.0, 0.0]
    while driver.poll() is None:
        peaks[0] = max(peaks[0], resident_mb(driver.pid))
        try:
            below = own.children(recursive=True)
        except psutil.NoSuchProcess:
            break
        for process in below:
            try:
                title = " ".join(process.cmdline())
            except psutil.Error:
                continue
            if title.startswith("ray::") or "xner_ray.labeling.isolation.subprocess_worker" in title:
                peaks[1] = max(peaks[1], resident_mb(process.pid))
        time.sleep(0.5)
    if driver.wait():
        raise SystemExit(f"{' '.join(command)}\n{log.read_text()[-3000:]}")
    return peaks[0], peaks[1]


def resident_mb(pid: int) -> float:
    """Resident memory without shared pages, which are the object store's."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    kb = {
        name: float(rest.split()[0])
        for name, _, rest in (x.partition(":") for x in lines)
        if name.startswith(("VmRSS", "RssShmem"))
    }
    return (kb.get("VmRSS", 0.0) - kb.get("RssShmem", 0.0)) / 1024


def exponent(runs: list[dict[str, Any]]) -> float | None:
    """Slope of log seconds over log pairs; None for fewer than two sizes."""
    if len(runs) < 2:
        return None
    x, y = (np.log([r[k] for r in runs]) for k in ("pairs", "seconds"))
    return round(float(np.polyfit(x, y, 1)[0]), 3)


if __name__ == "__main__":
    main()
