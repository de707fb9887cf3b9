"""A driver that runs the null model, with poisoned rows and failpoints that kill it on request.

    python -m tests.harness.null_driver CONFIG [--poison] [--failpoint NAME] [--local] [--stage NAME] [--json FILE] [KEY=VALUE]

The driver joins the Ray cluster of RAY_ADDRESS. With --local it starts a local Ray. If a worker reaches the failpoint, the worker
kills the driver and hangs, so that the store stays as it is at that moment.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import threading
import time
from pathlib import Path

PASSED_VARIABLES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "AWS_ENDPOINT_URL")


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("--poison", action="store_true", help="some rows raise an error or kill their process")
    parser.add_argument("--failpoint")
    parser.add_argument("--local", action="store_true", help="start a local Ray")
    parser.add_argument("--stage", default="dataset", help="the last stage to run")
    parser.add_argument("--store-mb", type=int, default=200, help="size of a local Ray's object store")
    parser.add_argument("--json", type=Path, help="write the seconds and the peak of the object store to this file")
    args = parser.parse_intermixed_args()
    start_ray(args.failpoint, args.local, args.store_mb)
    from tests.harness.poisoned import POISONED
    from xner_ray.cli.console import report_user_errors
    from xner_ray.config.load import load_config
    from xner_ray.workflows.run import run

    peak_bytes = [0]
    if args.json:
        threading.Thread(target=_watch_object_store, args=(peak_bytes,), daemon=True).start()
    start = time.monotonic()
    with report_user_errors():
        config = load_config(args.config, args.overrides)
        run(config, args.config, [args.stage], functions=POISONED if args.poison else None)
    if args.json:
        seconds = round(time.monotonic() - start, 1)
        args.json.write_text(json.dumps({"seconds": seconds, "object_store_mb": round(peak_bytes[0] / 2**20)}))


def _watch_object_store(peak_bytes: list[int]) -> None:
    import ray
    from ray._private.internal_api import node_stats

    node = ray.nodes()[0]
    while True:
        stats = node_stats(node["NodeManagerAddress"], node["NodeManagerPort"]).store_stats
        peak_bytes[0] = max(peak_bytes[0], stats.object_store_bytes_used)
        time.sleep(2)


def start_ray(failpoint: str | None, local: bool, store_mb: int) -> None:
    """Connect to the Ray cluster of RAY_ADDRESS or start a local Ray.

    Args:
        failpoint: workers kill this process there; None: nowhere.
        local: start a local Ray.
        store_mb: size of its object store.
    """
    import ray

    from xner_ray.preflight.ray_session import start_local

    variables = {name: os.environ[name] for name in PASSED_VARIABLES if name in os.environ}
    if failpoint:
        variables["XNER_FAILPOINT"] = f"{failpoint}:{os.getpid()}"
    runtime_env = {"env_vars": variables}
    if local:
        start_local(num_cpus=2, object_store_memory=store_mb * 2**20, runtime_env=runtime_env)
    else:
        address = os.environ["RAY_ADDRESS"]
        ray.init(address=address, runtime_env=runtime_env, log_to_driver=False, logging_level=logging.WARNING)


if __name__ == "__main__":
    main()
