"""Tag the English side of all pairs and project the entities to the target side, as a Ray job.

    ray job submit --runtime-env runtime_env.yaml -- python jobs/label_corpus.py configs/tiny.yaml out=/shared/tiny

Stages that it needs and that are not done yet come first. Shards that are labeled are skipped.
`xner label CONFIG` does the same without a job.
"""

from __future__ import annotations

import sys

from xner_ray.cli.common import run_job

if __name__ == "__main__":
    run_job(sys.argv, __doc__, stages=["label"])
