"""One of the paper's studies as a Ray job; the arguments are those of `xner study`.

    ray job submit --runtime-env runtime_env.yaml -- \
        python jobs/study.py ablation configs/tiny.yaml out=/shared/tiny --csv /shared/ablation.csv

Cells run wherever the cluster has room; a job that was stopped goes on when it is submitted again.
"""

from __future__ import annotations

import sys

from xner_ray.cli.main import app

if __name__ == "__main__":
    app(["study", *sys.argv[1:]], prog_name="jobs")
