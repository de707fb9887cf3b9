"""The paper's figures as SVG, drawn from the table of a study. The same table gives the same bytes.

matplotlib is optional: without it a study writes its table only, and the figures can be drawn later on another machine.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from xner_ray.errors import UserError
from xner_ray.workflows.study.grid import ALL, ZERO_TRANSFER
from xner_ray.workflows.study.table import means, values

INSTALL = "pip install 'xner_ray[bench]', then draw with `xner study page`"
_STYLE: dict[Any, Any] = {"svg.hashsalt": "xner_ray", "svg.fonttype": "none", "font.size": 9}
_STYLE |= {"axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False}

Means = list[dict[str, Any]]


def can_draw() -> bool:
    """Return whether matplotlib is installed."""
    return importlib.util.find_spec("matplotlib") is not None


def draw(study: str, table: pa.Table, folder: Path) -> list[Path]:
    """Draw all figures of a study.

    Args:
        study: one of FIGURES.
        table: the table of the study.
        folder: the folder of the files.

    Returns:
        the files: folder/STUDY.svg, and for `domain` also folder/domain-types.svg.

    Raises:
        UserError: matplotlib is not installed.
    """
    if not can_draw():
        raise UserError("figures need matplotlib", remedy=INSTALL)
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    folder.mkdir(parents=True, exist_ok=True)
    files, rows = [], means(table)
    with pyplot.rc_context(_STYLE):
        for name, make in FIGURES[study].items():
            figure = make(pyplot, table, rows)
            files.append(folder / f"{name}.svg")
            figure.savefig(files[-1], metadata={"Date": None})
            pyplot.close(figure)
    return files


def _panels(pyplot, table: pa.Table, width: float, height: float, left: float = 0.0) -> list[tuple[str, str, Any]]:
    """A row of axes, one for each evaluation set: (set, language, axes). `left`: width of the first axes' labels in inches."""
    pairs = list(dict.fromkeys(zip(*(table.column(c).to_pylist() for c in ("eval_set", "language")), strict=True)))
    size = (left + width * len(pairs), height)
    _, axes = pyplot.subplots(1, len(pairs), figsize=size, layout="constrained", squeeze=False)
    panels = [(name, language, panel) for (name, language), panel in zip(pairs, axes[0], strict=True)]
    for name, language, panel in panels:
        panel.set_title(f"{name} ({language})")
    return panels


def _by_setting(rows: Means, eval_set: str, kind: str = ALL) -> dict[str, dict[str, Any]]:
    """Return the rows of one evaluation set and type, by setting."""
    return {row["setting"]: row for row in rows if row["eval_set"] == eval_set and row["type"] == kind}


def _ablation(pyplot, table: pa.Table, rows: Means):
    """F1 of each setting: a point for each seed, a bar for their mean."""
    panels = _panels(pyplot, table, 2.8, 2.4, left=1.7)
    settings = values(table, "setting")[::-1]
    for index, (name, _, axes) in enumerate(panels):
        by_setting = _by_setting(rows, name)
        axes.barh(
            settings,
            [by_setting[s]["f1"] for s in settings],
            color=["0.75" if s == ZERO_TRANSFER else "C0" for s in settings],
        )
        for row in _f1_by_seed(table, name):
            axes.plot(row["f1"], settings.index(row["setting"]), "k.", markersize=4)
        axes.set(xlabel="F1", xlim=_from_zero([row["f1"] for row in _f1_by_seed(table, name)]))
        if index:
            axes.set_yticklabels([])
    return panels[0][2].figure


def _size(pyplot, table: pa.Table, rows: Means):
    """F1 against the number of projected sentences; zero-transfer is a horizontal line."""
    figure, axes = pyplot.subplots(figsize=(5.5, 3.4), layout="constrained")
    for index, name in enumerate(values(table, "eval_set")):
        by_setting, color = _by_setting(rows, name), f"C{index}"
        sizes = sorted(
            (row for s, row in by_setting.items() if s != ZERO_TRANSFER), key=lambda row: row["train_sentences"]
        )
        x = [row["train_sentences"] for row in sizes]
        axes.errorbar(
            x,
            [row["f1"] for row in sizes],
            [row["f1_std"] or 0.0 for row in sizes],
            fmt="o-",
            markersize=4,
            capsize=2,
            color=color,
            label=name,
        )
        if ZERO_TRANSFER in by_setting:
            axes.axhline(by_setting[ZERO_TRANSFER]["f1"], color=color, linestyle=":", linewidth=1)
    axes.set(xscale="log", xlabel="projected sentences", ylabel="F1", title="dotted: zero-transfer")
    ticks = sorted({row["train_sentences"] for row in rows if row["train_sentences"]})
    axes.set_xticks(ticks, [f"{n / 1000:g}K" for n in ticks])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend()
    return figure


def _domain(pyplot, table: pa.Table, rows: Means):
    """Return the paper's Fig. 3: F1 by evaluation set and domain."""
    sets, settings = values(table, "eval_set"), values(table, "setting")
    bars = {s: [_by_setting(rows, name).get(s) for name in sets] for s in settings}
    return _grouped(pyplot, sets, bars, "F1 by domain of the parallel text")


def _domain_types(pyplot, table: pa.Table, rows: Means):
    """Return the paper's Fig. 4: F1 by type and domain, on the first evaluation set."""
    name, settings = values(table, "eval_set")[0], values(table, "setting")
    kinds = sorted(kind for kind in values(table, "type") if kind != ALL and _by_setting(rows, name, kind))
    bars = {s: [_by_setting(rows, name, kind).get(s) for kind in kinds] for s in settings}
    return _grouped(pyplot, kinds, bars, f"F1 by type on {name}")


def _grouped(pyplot, groups: Sequence[str], bars: Mapping[str, list[dict[str, Any] | None]], title: str):
    """Grouped bars. `bars`: for each label a row, or None, in each group; error bars are standard deviations over seeds."""
    figure, axes = pyplot.subplots(figsize=(2.5 + 1.3 * len(groups), 3.2), layout="constrained")
    width = 0.8 / len(bars)
    for i, (label, rows) in enumerate(bars.items()):
        x = [g - 0.4 + (i + 0.5) * width for g, row in enumerate(rows) if row]
        present = [row for row in rows if row]
        deviation = [row["f1_std"] or 0.0 for row in present]
        color = "0.75" if label == ZERO_TRANSFER else f"C{i - 1 if ZERO_TRANSFER in bars else i}"
        axes.bar(x, [r["f1"] for r in present], width, yerr=deviation, capsize=2, label=label, color=color)
    present = [row for rows in bars.values() for row in rows if row]
    ends = [row["f1"] + sign * (row["f1_std"] or 0.0) for row in present for sign in (-1, 1)]
    axes.set(title=title, ylabel="F1", ylim=_from_zero(ends))
    axes.set_xticks(range(len(groups)), groups)
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def _loss(pyplot, table: pa.Table, rows: Means):
    """F1 as a heat map over gamma (x) and frozen layers (y); zero-transfer in the title."""
    panels = _panels(pyplot, table, 3.0, 2.7)
    cells = {
        (r["gamma"], r["frozen_layers"]): r["setting"] for r in table.to_pylist() if r["frozen_layers"] is not None
    }
    gammas, frozen = (sorted({key[i] for key in cells}) for i in (0, 1))
    for name, _, axes in panels:
        by_setting = _by_setting(rows, name)
        grid = [[by_setting[cells[g, n]]["f1"] if (g, n) in cells else float("nan") for g in gammas] for n in frozen]
        axes.imshow(grid, cmap="viridis", aspect="auto", origin="lower")
        low, high = (pick(v for row in grid for v in row if v == v) for pick in (min, max))
        for y, row in enumerate(grid):
            for x, f1 in enumerate(row):
                if f1 == f1:  # a missing cell is NaN
                    dark = f1 < (low + high) / 2
                    axes.text(x, y, f"{f1:.1f}", ha="center", va="center", color="w" if dark else "k", fontsize=8)
        axes.set(xlabel="gamma", ylabel="frozen layers")
        axes.set_xticks(range(len(gammas)), [f"{g:g}" for g in gammas])
        axes.set_yticks(range(len(frozen)), [str(n) for n in frozen])
        if ZERO_TRANSFER in by_setting:
            axes.set_title(f"{axes.get_title()}\nzero-transfer {by_setting[ZERO_TRANSFER]['f1']:.1f}")
    return panels[0][2].figure


def _f1_by_seed(table: pa.Table, eval_set: str) -> list[dict[str, Any]]:
    """Return the rows of all seeds on an evaluation set, for all types together."""
    rows = table.select(["setting", "eval_set", "type", "f1"]).to_pylist()
    return [row for row in rows if row["eval_set"] == eval_set and row["type"] == ALL]


def _from_zero(f1: Sequence[float]) -> tuple[float, float]:
    """Axis limits of bars. They begin at 0, so that the lengths of bars can be compared."""
    return 0.0, min(100.0, 1.1 * max(f1) + 1.0)


Figure = Callable[[Any, pa.Table, Means], Any]
FIGURES: dict[str, dict[str, Figure]] = {
    "ablation": {"ablation": _ablation},
    "size": {"size": _size},
    "domain": {"domain": _domain, "domain-types": _domain_types},
    "loss": {"loss": _loss},
}
