"""Measures how busy the labeling graph keeps GPUs, with emulated ones: 4 devices of 400 pairs/s each, without any GPU.

    python -m bench.emulated --json bench/results/emulated.json

The whole graph runs on a local Ray: reading, actors, child processes, envelopes, commits. Only the models are replaced, see
`tests/harness/emulated_gpu.py`. `density` is the number of entities a pair: subtitles have 0.2, news have 2. The JSON is
`{densities: {DENSITY: {busy, seconds, pairs_per_second, largest_gap}}, gpus, shards, shard_rows, machine}`. `busy` is the share
of the time from the start of the first pass to the end of the last one that a device was in a pass, as a mean over the devices.
`largest_gap` is the longest time in seconds without a commit.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.harness.emulated_gpu import DENSITY, EMULATED, FOLDER
from tests.harness.null_runs import write_json
from xner_ray import schema
from xner_ray.config import LabelConfig
from xner_ray.labeling.actors import LabelingJob
from xner_ray.labeling.graph import label_shards
from xner_ray.labeling.pools import plan_pools
from xner_ray.labeling.shard_descriptor import ShardDescriptor
from xner_ray.labeling.shard_functions import LabelingModels
from xner_ray.observability.shard_timer import LogContext
from xner_ray.storage.fingerprint import hash_file
from xner_ray.training.backends.nodes import nodes_up

GPUS = 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--densities", default="0.1,1,2")
    parser.add_argument("--shards", type=int, default=80)
    parser.add_argument("--shard-rows", type=int, default=2000)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    densities: dict[str, Any] = {}
    for density in args.densities.split(","):
        with tempfile.TemporaryDirectory() as folder:
            densities[density] = measure(Path(folder), float(density), args.shards, args.shard_rows)
        print(density, json.dumps(densities[density]), flush=True)
    result = {"densities": densities, "gpus": GPUS, "shards": args.shards, "shard_rows": args.shard_rows}
    write_json(args.json, {**result, "machine": f"{os.cpu_count()} CPUs, {time.strftime('%Y-%m-%d')}"})


def measure(folder: Path, density: float, shards: int, shard_rows: int) -> dict[str, float]:
    """Label a corpus on emulated GPUs."""
    import ray

    os.environ |= {FOLDER: str(folder), DENSITY: str(density)}
    variables = {FOLDER: str(folder), DENSITY: str(density)}
    ray.init(
        address="local",
        num_cpus=8,  # sleeping actors use little of the CPUs that they reserve
        num_gpus=GPUS,
        include_dashboard=False,
        runtime_env={"env_vars": variables},
        log_to_driver=False,
        logging_level="warning",
    )
    try:
        pools = plan_pools(LabelConfig(), nodes_up(), shards)
        shard_list = write_shards(folder, shards, shard_rows)
        commits = [time.time() for _ in label_shards(shard_list, pools, emulated_job(folder))]
    finally:
        ray.shutdown()
    busy = [json.loads(line) for file in folder.glob("gpu-*.jsonl") for line in file.read_text().splitlines()]
    seconds = max(end for _, end in busy) - min(start for start, _ in busy)
    return {
        "busy": round(sum(end - start for start, end in busy) / seconds / GPUS, 3),
        "seconds": round(seconds, 1),
        "pairs_per_second": round(shards * shard_rows / seconds, 1),
        "largest_gap": round(max(b - a for a, b in itertools.pairwise(commits)), 1),
    }


def emulated_job(folder: Path) -> LabelingJob:
    """A labeling with emulated models into a store in the folder."""
    return LabelingJob(
        store=str(folder / "store"),
        functions=EMULATED,
        models=LabelingModels({}, "", "en", True, 4096, "fp32", 1),
        max_quarantined=0.0,
        log_context=LogContext("emulated"),
        pretokenized=True,
    )


def write_shards(folder: Path, shards: int, rows: int) -> list[ShardDescriptor]:
    """Shards of equal pairs of 30 words."""
    text = " ".join(["Anna"] * 30)
    columns = {name: [name] * rows for name in ("corpus", "domain")} | {"language": ["de"] * rows}
    columns |= {
        "pair_id": list(range(rows)),
        "source": [text] * rows,
        "target": [text] * rows,
        "corpus_score": [None] * rows,
    }
    pq.write_table(pa.table(columns, schema=schema.PAIR), folder / "shard.parquet")
    sha256 = hash_file(folder / "shard.parquet")
    return [ShardDescriptor(f"s-{i:05d}", "de", str(folder / "shard.parquet"), rows, sha256) for i in range(shards)]


if __name__ == "__main__":
    main()
