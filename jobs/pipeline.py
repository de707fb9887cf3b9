"""The whole way as one Ray job: from corpora to students and their scores. What is done already is skipped.

    ray job submit --runtime-env runtime_env.yaml -- python jobs/pipeline.py configs/tiny.yaml out=/shared/tiny

A job runs in a copy of this folder that vanishes with the cluster: give an `out` (and `data`) that outlives it and
that every node sees. `xner run CONFIG` does the same without a job.
"""

from __future__ import annotations

import sys

from xner_ray.cli.common import run_job

if __name__ == "__main__":
    run_job(sys.argv, __doc__)
