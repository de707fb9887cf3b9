"""Train the aligner as a Ray job: the same as `xner aligner`.

    ray job submit --runtime-env runtime_env.yaml -- python jobs/train_aligner.py configs/tiny.yaml out=/shared/tiny

Unfinished stages that it needs run first. A finished aligner is kept.
"""

from __future__ import annotations

import sys

from xner_ray.cli.main import app

if __name__ == "__main__":
    app(["aligner", *sys.argv[1:]], prog_name="jobs/train_aligner.py")
