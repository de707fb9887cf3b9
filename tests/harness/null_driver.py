"""A driver of the labeling graph for ordeals: the null model, rows that are poison if asked, failpoints that kill this process.

    python -m tests.harness.null_driver CONFIG [--poison] [--failpoint NAME] [--local] [--stage NAME] [--told JSON] [KEY=VALUE]

It joins the Ray of RAY_ADDRESS, or with --local starts one of its own. A failpoint is reached by a worker, which then kills this
process and hangs, so that the store stays as it was at that moment.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import threading
import time
from pathlib import Path

PASSED_ON = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "AWS_ENDPOINT_URL")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("--poison", action="store_true")
    parser.add_argument("--failpoint")
    parser.add_argument("--local", action="store_true")
    parser.add_argument("--stage", default="dataset")
    parser.add_argument("--store-mb", type=int, default=200, help="object store of a Ray of its own")
    parser.add_argument("--told", type=Path, help="write seconds and the peak of the object store here")
    asked = parser.parse_intermixed_args()
    start_ray(asked.failpoint, asked.local, asked.store_mb)
    from tests.harness.poisoned import POISONED
    from xner_ray.cli.common import run_stages
    from xner_ray.pipeline.stages import label

    if asked.poison:
        label.FUNCTIONS = POISONED
    peak = [0]
    if asked.told:
        threading.Thread(target=_watch_object_store, args=(peak,), daemon=True).start()
    began = time.monotonic()
    run_stages(asked.config, asked.overrides, [asked.stage])
    if asked.told:
        told = {"seconds": round(time.monotonic() - began, 1), "object_store_mb": round(peak[0] / 2**20)}
        asked.told.write_text(json.dumps(told))


def _watch_object_store(peak: list[int]) -> None:
    import ray
    from ray._private.internal_api import node_stats

    node = ray.nodes()[0]
    while True:
        stats = node_stats(node["NodeManagerAddress"], node["NodeManagerPort"]).store_stats
        peak[0] = max(peak[0], stats.object_store_bytes_used)
        time.sleep(2)


def start_ray(failpoint: str | None, local: bool, store_mb: int) -> None:
    import ray

    variables = {k: os.environ[k] for k in PASSED_ON if k in os.environ}
    if failpoint:
        variables["XNER_FAILPOINT"] = f"{failpoint}:{os.getpid()}"
    common = {"runtime_env": {"env_vars": variables}, "log_to_driver": False, "logging_level": logging.WARNING}
    if local:
        os.environ.pop("RAY_ADDRESS", None)
        ray.init(num_cpus=2, include_dashboard=False, object_store_memory=store_mb * 2**20, **common)
    else:
        ray.init(address=os.environ["RAY_ADDRESS"], **common)


if __name__ == "__main__":
    main()
