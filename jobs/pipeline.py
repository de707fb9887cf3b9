"""Run all stages of a config as a Ray job: the same as `xner run`.

    ray job submit --runtime-env runtime_env.yaml -- python jobs/pipeline.py configs/tiny.yaml out=/shared/tiny

A job runs in a copy of this folder, which the cluster deletes with the job. So `out` and `data` must be folders that outlive the
job and that all nodes see.
"""

from __future__ import annotations

import sys

from xner_ray.cli.main import app

if __name__ == "__main__":
    app(["run", *sys.argv[1:]], prog_name="jobs/pipeline.py")
