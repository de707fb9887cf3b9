"""Interleaved timing: the sides of a benchmark take turns, so that other load on the machine affects all of them.

A rate is the median over rounds. A ratio is the median of the ratios within a round, because both of its sides then run under
the same load. Core affinity limits this process and its children to some cores, and each model runs one thread. Another busy
process on these cores makes the figures useless, so the load is reported.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


def pin(cores: str | None) -> list[int]:
    """Pin this process and its children to cores (`0,1`; default: all it may use). Call before importing torch."""
    core_ids = sorted(int(c) for c in cores.split(",")) if cores else sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, core_ids)
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = "1"
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    # Ray workers and child processes find the packages from any working directory.
    os.environ["PYTHONPATH"] = str(ROOT)
    return core_ids


def interleaved(sides: dict[str, Callable[[], float]], rounds: int, log: bool = True) -> dict[str, list[float]]:
    """Seconds of each side in each round. Every other round runs the sides in reverse order."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for n in range(rounds):
        for name in list(sides) if n % 2 == 0 else list(sides)[::-1]:
            seconds[name].append(sides[name]())
            if log:
                print(f"round {n + 1}/{rounds}: {name} {seconds[name][-1]:.2f} s", flush=True)
    return seconds


def ratio(fast: list[float], slow: list[float]) -> float:
    """The speed of `fast` over the speed of `slow`: the median of the ratios of the rounds."""
    return round(statistics.median(b / a for a, b in zip(fast, slow, strict=True)), 3)


def rate(amount: float, seconds: list[float]) -> float:
    """Amount per second of the median round."""
    return round(amount / statistics.median(seconds), 1)


def machine(cores: list[int]) -> dict[str, Any]:
    """Description of the machine."""
    import torch

    model = next((x.split(":")[1].strip() for x in _lines("/proc/cpuinfo") if x.startswith("model name")), "")
    return {
        "cpu": model or platform.processor(),
        "cores": cores,
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "load_before": [round(x, 2) for x in os.getloadavg()],
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


def write_json(path: Path | None, value: Any) -> None:
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
