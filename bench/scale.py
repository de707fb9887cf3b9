"""Measures speed and peak memory of ingest, labeling and dataset over generated corpora with the null model.

    python -m bench.scale --pairs 100000,1000000,5000000 --json bench/results/scale.json

Half of the pairs are German, half are Chinese; all are distinct. Everything but the forward passes is real. The JSON is
`{runs: [{pairs, seconds, pairs_per_second, peak_driver_mb, peak_worker_mb, object_store_mb, stages}], exponent, cpus}`.
`seconds` is the time of the label stage on a Ray that is already started. Memory is the resident memory of one process (of
the largest worker) without shared pages of the object store. `exponent` is the exponent of seconds ~ pairs ** exponent.
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
    parser.add_argument("--pairs", default="100000,1000000", help="numbers of pairs, comma between")
    parser.add_argument("--shard-rows", type=int, default=5000)
    parser.add_argument("--store-mb", type=int, default=600, help="size of Ray's object store")
    parser.add_argument("--folder", help="folder of the corpora; default: the system's temporary folder")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    runs: list[dict[str, Any]] = []
    for pairs in map(int, args.pairs.split(",")):
        with tempfile.TemporaryDirectory(dir=args.folder) as folder:
            runs.append(measure(Path(folder), pairs, args.shard_rows, args.store_mb))
        print(json.dumps(runs[-1]), flush=True)
        write_json(args.json, {"runs": runs, "exponent": exponent(runs), "cpus": os.cpu_count()})


def measure(folder: Path, pairs: int, shard_rows: int, store_mb: int) -> dict[str, Any]:
    config, result_file = folder / "scale.yaml", folder / "result.json"
    config.write_text(CONFIG.format(out=folder / "out", pairs=pairs // 2, shard_rows=shard_rows))
    stages: dict[str, float] = {}
    run: dict[str, Any] = {}
    for stage in ("ingest", "label", "dataset"):
        command = [sys.executable, "-m", "tests.harness.null_driver", str(config), "--local", "--stage", stage]
        command += ["--store-mb", str(store_mb), "--json", str(result_file)]
        driver_mb, worker_mb = watch(command, folder / f"{stage}.log")
        result = json.loads(result_file.read_text())
        stages[stage] = result["seconds"]
        if stage == "label":
            plan = json.loads(next((folder / "out" / "label").glob("*/plan.json")).read_text())
            labeled = sum(
                plan["shards"].values()
            )  # less than `pairs`: a third corpus of the sample is not in the config
            run |= {
                "pairs": labeled,
                "seconds": result["seconds"],
                "pairs_per_second": round(labeled / result["seconds"], 1),
                "peak_driver_mb": round(driver_mb),
                "peak_worker_mb": round(worker_mb),
                "object_store_mb": result["object_store_mb"],
            }
    return {**run, "stages": stages}


def watch(command: list[str], log: Path) -> tuple[float, float]:
    """Run a driver; returns its peak memory in MB, and that of the largest worker or child process."""
    import psutil

    with log.open("w") as out:
        driver = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
    driver_process = psutil.Process(driver.pid)
    peaks = [0.0, 0.0]
    while driver.poll() is None:
        peaks[0] = max(peaks[0], resident_mb(driver.pid))
        try:
            children = driver_process.children(recursive=True)
        except psutil.NoSuchProcess:
            break
        for process in children:
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
    """Resident memory without shared pages, which belong to the object store."""
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
