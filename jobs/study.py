"""Run one of the studies of the paper as a Ray job: the same as `xner study`.

    ray job submit --runtime-env runtime_env.yaml -- \
        python jobs/study.py ablation configs/tiny.yaml out=/shared/tiny --csv /shared/ablation.csv

A stopped job continues when it is submitted again.
"""

from __future__ import annotations

import sys

from xner_ray.cli.main import app

if __name__ == "__main__":
    app(["study", *sys.argv[1:]], prog_name="jobs/study.py")
