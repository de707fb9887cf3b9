"""Trains models over the Ray of RAY_ADDRESS, as a run does: `train_driver.py JOBS.json`."""

from __future__ import annotations

import json
import sys
from pathlib import Path


def main() -> None:
    from xner_ray.config import RayConfig, Training
    from xner_ray.preflight.ray_session import connect
    from xner_ray.training.backends.ray_train import fit
    from xner_ray.training.job import TrainJob

    told = json.loads(Path(sys.argv[1]).read_text())
    jobs = [TrainJob(**{**job, "training": Training(**job["training"])}) for job in told.pop("jobs")]
    connect(RayConfig())
    fit(jobs, log=lambda line: print(line, flush=True), **told)


if __name__ == "__main__":
    main()
