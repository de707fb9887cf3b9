"""Train the target-language taggers: every encoder and every seed of the config, as a Ray job.

    ray job submit --runtime-env runtime_env.yaml -- python jobs/train_student.py configs/tiny.yaml out=/shared/tiny

Stages that it needs and that are not done yet come first. Finished students are kept.
`xner student CONFIG` does the same without a job.
"""

from __future__ import annotations

import sys

from xner_ray.cli.common import run_job

if __name__ == "__main__":
    run_job(sys.argv, __doc__, stages=["student"])
