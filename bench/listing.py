"""The time and memory of listing the manifests of a shard store, before and after they are packed.

python -m bench.listing [NUMBER]     default: 250,000 artificial manifests in a temporary folder
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from tests.harness.counting_store import write_manifests
from xner_ray.storage.shard_store import ShardStore

NUMBER = 250_000


def list_store(root: str) -> None:
    """List a store in this process, and pack its manifests."""
    process = psutil.Process()
    before, start, cpu = process.memory_info().rss, time.perf_counter(), time.process_time()
    listed = ShardStore(root).committed()
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    megabytes = (process.memory_info().rss - before) / 1e6
    times = f"{seconds:.1f} s, {cpu:.1f} s of processor time"
    print(f"{len(listed):,} manifests, {listed.num_loose:,} in no pack: {times}, {megabytes:.0f} MB", flush=True)
    start = time.perf_counter()
    ShardStore(root).pack(listed)
    print(f"packing: {time.perf_counter() - start:.1f} s", flush=True)


def main(number: int) -> None:
    """Measure each listing in a process of its own."""
    with tempfile.TemporaryDirectory() as root:
        write_manifests(Path(root), range(number))
        for _ in range(2):
            subprocess.run([sys.executable, "-m", "bench.listing", "--list", root], check=True)


if __name__ == "__main__":
    if "--list" in sys.argv:
        list_store(sys.argv[-1])
    else:
        main(int(sys.argv[1]) if sys.argv[1:] else NUMBER)
