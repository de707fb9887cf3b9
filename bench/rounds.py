"""Fair timing: sides take turns, so that what else the machine does meets all of them, and medians of the turns count.

A ratio is the median of the ratios within a round, not a ratio of medians: both parts of it then saw the same minutes.
Threads are pinned by affinity: this process, and all that it starts, may run on `cores` alone, and each model runs one
thread. What spins on those cores meanwhile, such as another OpenMP program, ruins every figure; the load is reported.
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
    """Keep this process and its children to some cores (`0,1`); default: those it may use. Call before importing torch."""
    chosen = sorted(int(c) for c in cores.split(",")) if cores else sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, chosen)
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = "1"
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    # Ray's workers, their children and the benches' own find both, whatever the working directory is.
    os.environ["PYTHONPATH"] = str(ROOT)
    return chosen


def interleaved(sides: dict[str, Callable[[], float]], rounds: int, log: bool = True) -> dict[str, list[float]]:
    """Seconds of each side in each round; every other round runs them backwards."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for n in range(rounds):
        for name in list(sides) if n % 2 == 0 else list(sides)[::-1]:
            seconds[name].append(sides[name]())
            if log:
                print(f"round {n + 1}/{rounds}: {name} {seconds[name][-1]:.2f} s", flush=True)
    return seconds


def ratio(fast: list[float], slow: list[float]) -> float:
    """How many times as fast, from the seconds of both in the same rounds: the median of the rounds' ratios."""
    return round(statistics.median(b / a for a, b in zip(fast, slow, strict=True)), 3)


def rate(amount: float, seconds: list[float]) -> float:
    """Amount a second, by the median round."""
    return round(amount / statistics.median(seconds), 1)


def machine(cores: list[int]) -> dict[str, Any]:
    """What the figures were taken on."""
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
