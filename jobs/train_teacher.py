"""Train the source-language tagger as a Ray job: the same as `xner teacher`.

    ray job submit --runtime-env runtime_env.yaml -- python jobs/train_teacher.py configs/tiny.yaml out=/shared/tiny

Unfinished stages that it needs run first. A finished teacher is kept.
"""

from __future__ import annotations

import sys

from xner_ray.cli.main import app

if __name__ == "__main__":
    app(["teacher", *sys.argv[1:]], prog_name="jobs/train_teacher.py")
