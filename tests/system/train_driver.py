"""Trains one model over the Ray of RAY_ADDRESS, as a run does: `train_driver.py JOB.json`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))


def main() -> None:
    from xner_ray.config import RayConfig, Training
    from xner_ray.stages.context import connect
    from xner_ray.training.loop import Job
    from xner_ray.training.ray_train import fit

    told = json.loads(Path(sys.argv[1]).read_text())
    job = Job(**{**told.pop("job"), "training": Training(**told.pop("training"))})
    connect(RayConfig())
    fit([job], say=lambda line: print(line, flush=True), **told)


if __name__ == "__main__":
    main()
