"""Trains models on the Ray of RAY_ADDRESS, as a run does: `train_driver ARGUMENTS.json`.

The file has the arguments of `train_on_ray`, with `jobs` and `resources` as JSON objects. With `noted`, a folder, the workers of
a group note their random numbers there.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path


def main() -> None:
    from xner_ray.config import RayConfig
    from xner_ray.preflight.ray_session import connect
    from xner_ray.training.backends.dispatch import train_on_ray
    from xner_ray.training.job import TrainJob, TrainResources

    arguments = json.loads(Path(sys.argv[1]).read_text())
    jobs = [TrainJob.from_dict(job) for job in arguments.pop("jobs")]
    resources = TrainResources(**arguments.pop("resources", {}))
    if folder := arguments.pop("noted", None):
        from tests.harness.noted_random import note_random_numbers

        note_random_numbers(Path(folder))
    connect(RayConfig())
    train_on_ray(jobs, resources=resources, log=lambda line: print(line, flush=True), **arguments)


if __name__ == "__main__":
    main()
