"""Plots bench/results/scale.json (speed and memory by number of pairs) or throughput.json (pairs per second) for the README.

python -m bench.plot bench/results/scale.json bench/results/scale.svg        (pip install 'xner_ray[bench]')
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

plt.rcParams["svg.hashsalt"] = "xner_ray"  # equal input gives an equal file

MEMORY = {"peak_driver_mb": "driver", "peak_worker_mb": "largest worker", "object_store_mb": "object store"}


SIDES = {
    "limit": "bare forward passes",
    "asked": "rows that labeling runs",
    "xner": "xner label",
    "pipeline": "pipeline, best batch",
    "pipeline_default": "pipeline, default",
    "align": "align alone",
    "awesome": "AWESOME-align",
    "simalign": "SimAlign",
}


def main() -> None:
    results = json.loads(Path(sys.argv[1]).read_text())
    figure = scale(results) if "runs" in results else throughput(results)
    figure.savefig(sys.argv[2], metadata={"Date": None})


def scale(results: dict[str, Any]) -> Figure:
    runs = results["runs"]
    pairs = [run["pairs"] for run in runs]
    figure, (speed, memory) = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    speed.plot(pairs, [run["pairs_per_second"] for run in runs], "o-")
    speed.set(title=f"labeling graph, {results['cpus']} cores, null model", ylabel="pairs a second")
    for key, label in MEMORY.items():
        memory.plot(pairs, [run[key] for run in runs], "o-", label=label)
    memory.set(title="peak memory", ylabel="MB")
    memory.legend()
    for axes in (speed, memory):
        axes.set(xscale="log", xlabel="pairs", ylim=(0, None))
        axes.grid(alpha=0.3)
    return figure


def throughput(results: dict[str, Any]) -> Figure:
    """Bars in two panels: labeling and its limit, and projection and its peers."""
    parts = {
        "labeling": ("limit", "asked", "xner", "pipeline", "pipeline_default"),
        "projection alone, one core": ("align", "awesome", "simalign"),
    }
    panels = {title: [s for s in sides if s in results][::-1] for title, sides in parts.items()}
    panels = {title: shown for title, shown in panels.items() if shown}
    figure, axes = plt.subplots(1, len(panels), figsize=(9, 2.4), layout="constrained", squeeze=False)
    for panel, (title, shown) in zip(axes[0], panels.items(), strict=True):
        bars = panel.barh([SIDES[s] for s in shown], [results[s]["pairs_per_second"] for s in shown])
        panel.bar_label(bars, fmt="%.0f", padding=3)
        panel.set(title=title, xlabel="pairs a second")
        panel.margins(x=0.15)
    return figure


if __name__ == "__main__":
    main()
