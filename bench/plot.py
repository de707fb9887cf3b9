"""Draw bench/results/scale.json as the README shows it: speed and peak memory against the size of the dump.

python bench/plot.py bench/results/scale.json bench/results/scale.svg        (pip install 'xner_ray[bench]')
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib.pyplot as plt

plt.rcParams["svg.hashsalt"] = "xner_ray"  # the same figures give the same file

MEMORY = {"peak_driver_mb": "driver", "peak_worker_mb": "largest worker", "object_store_mb": "object store"}


def main() -> None:
    told = json.loads(Path(sys.argv[1]).read_text())
    runs = told["runs"]
    pairs = [run["pairs"] for run in runs]
    figure, (speed, memory) = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    speed.plot(pairs, [run["pairs_per_second"] for run in runs], "o-")
    speed.set(title=f"labelling graph, {told['cpus']} cores, null model", ylabel="pairs a second")
    for key, label in MEMORY.items():
        memory.plot(pairs, [run[key] for run in runs], "o-", label=label)
    memory.set(title="peak memory", ylabel="MB")
    memory.legend()
    for axes in (speed, memory):
        axes.set(xscale="log", xlabel="pairs", ylim=(0, None))
        axes.grid(alpha=0.3)
    figure.savefig(sys.argv[2], metadata={"Date": None})


if __name__ == "__main__":
    main()
