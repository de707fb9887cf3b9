"""Draw bench/results as the README shows them: scale.json (speed and memory against size), throughput.json (pairs a second).

python -m bench.plot bench/results/scale.json bench/results/scale.svg        (pip install 'xner_ray[bench]')
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

plt.rcParams["svg.hashsalt"] = "xner_ray"  # the same figures give the same file

MEMORY = {"peak_driver_mb": "driver", "peak_worker_mb": "largest worker", "object_store_mb": "object store"}


SIDES = {
    "limit": "bare forward passes",
    "asked": "of what is asked",
    "xner": "xner label",
    "pipeline": "pipeline, best batch",
    "pipeline_default": "pipeline, default",
    "align": "align alone",
    "awesome": "AWESOME-align",
    "simalign": "SimAlign",
}


def main() -> None:
    told = json.loads(Path(sys.argv[1]).read_text())
    figure = scale(told) if "runs" in told else throughput(told)
    figure.savefig(sys.argv[2], metadata={"Date": None})


def scale(told: dict[str, Any]) -> Figure:
    runs = told["runs"]
    pairs = [run["pairs"] for run in runs]
    figure, (speed, memory) = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    speed.plot(pairs, [run["pairs_per_second"] for run in runs], "o-")
    speed.set(title=f"labeling graph, {told['cpus']} cores, null model", ylabel="pairs a second")
    for key, label in MEMORY.items():
        memory.plot(pairs, [run[key] for run in runs], "o-", label=label)
    memory.set(title="peak memory", ylabel="MB")
    memory.legend()
    for axes in (speed, memory):
        axes.set(xscale="log", xlabel="pairs", ylim=(0, None))
        axes.grid(alpha=0.3)
    return figure


def throughput(told: dict[str, Any]) -> Figure:
    """Bars; labeling beside its limit, and projection alone beside its peers, which are another task."""
    parts = {
        "labeling": ("limit", "asked", "xner", "pipeline", "pipeline_default"),
        "projection alone, one core": ("align", "awesome", "simalign"),
    }
    panels = {title: [s for s in sides if s in told][::-1] for title, sides in parts.items()}
    panels = {title: shown for title, shown in panels.items() if shown}
    figure, axes = plt.subplots(1, len(panels), figsize=(9, 2.4), layout="constrained", squeeze=False)
    for panel, (title, shown) in zip(axes[0], panels.items(), strict=True):
        bars = panel.barh([SIDES[s] for s in shown], [told[s]["pairs_per_second"] for s in shown])
        panel.bar_label(bars, fmt="%.0f", padding=3)
        panel.set(title=title, xlabel="pairs a second")
        panel.margins(x=0.15)
    return figure


if __name__ == "__main__":
    main()
