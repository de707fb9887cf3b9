"""Train the target-language taggers, for each encoder and seed, as a Ray job: the same as `xner student`.

    ray job submit --runtime-env runtime_env.yaml -- python jobs/train_student.py configs/tiny.yaml out=/shared/tiny

Unfinished stages that they need run first. Finished students are kept.
"""

from __future__ import annotations

import sys

from xner_ray.cli.main import app

if __name__ == "__main__":
    app(["student", *sys.argv[1:]], prog_name="jobs/train_student.py")
