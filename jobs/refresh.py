"""Refresh a run with new and changed corpora as a Ray job: the same as `xner refresh`.

    ray job submit --runtime-env runtime_env.yaml -- python jobs/refresh.py configs/paper.yaml data=/shared/data out=/shared/paper

One refresh runs at a time. A second one ends with exit code 2. `--dry-run` prints the plan and its cost. After a failed refresh
the promoted students are unchanged, and the next refresh continues.
"""

from __future__ import annotations

import sys

from xner_ray.cli.main import app

if __name__ == "__main__":
    app(["refresh", *sys.argv[1:]], prog_name="jobs/refresh.py")
