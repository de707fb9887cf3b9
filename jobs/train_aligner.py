"""Train the model that finds an English entity in a target sentence, as a Ray job.

    ray job submit --runtime-env runtime_env.yaml -- python jobs/train_aligner.py configs/tiny.yaml out=/shared/tiny

Stages that it needs and that are not done yet come first. A finished aligner is kept.
`xner aligner CONFIG` does the same without a job.
"""

from __future__ import annotations

import sys

from xner_ray.cli.common import run_job

if __name__ == "__main__":
    run_job(sys.argv, __doc__, stages=["aligner"])
