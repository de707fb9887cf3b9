"""Plots the details of bench/projection.py: F1 by coverage, and the share of correct spans by score.

python -m bench.plot_projection details.json out.svg [PROJECTOR ...]        (pip install 'xner_ray[bench]')
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib.pyplot as plt

plt.rcParams["svg.hashsalt"] = "xner_ray"  # equal input gives an equal file
SHOWN = ("similarity", "awesome-align", "aligner", "projector")


def main() -> None:
    details = json.loads(Path(sys.argv[1]).read_text())
    projectors = [name for name in sys.argv[3:] or SHOWN if name in details["projectors"]]
    languages = list(details["ceiling"])
    figure, rows = plt.subplots(
        2, len(languages), figsize=(4.5 * len(languages), 6.4), layout="constrained", squeeze=False
    )
    for column, language in enumerate(languages):
        coverage, reliability = rows[0][column], rows[1][column]
        for name in projectors:
            row = details["projectors"][name][language]
            coverage.plot(
                [100 * p["coverage"] for p in row["curve"]], [p["f1"] for p in row["curve"]], ".-", label=name
            )
            bins = row["reliability"]
            reliability.plot(
                [b["score"] for b in bins], [b["correct"] / b["entities"] for b in bins], "o-", label=name
            )
        ceiling = details["ceiling"][language]["ceiling, all projected"]["f1"]
        coverage.axhline(ceiling, color="gray", linestyle=":", label="ceiling, all projected")
        coverage.set(title=language, xlabel="names that are projected, %", ylabel="F1")
        coverage.invert_xaxis()
        reliability.plot([0, 1], [0, 1], color="gray", linestyle=":")
        reliability.set(xlabel="score", ylabel="share of spans that are right", xlim=(0, 1), ylim=(0, 1.02))
        for axes in (coverage, reliability):
            axes.grid(alpha=0.3)
    rows[0][0].legend()
    figure.savefig(sys.argv[2], metadata={"Date": None})


if __name__ == "__main__":
    main()
