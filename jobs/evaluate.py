"""Score a tagger on gold sentences as a Ray job: the same as `xner evaluate`.

    ray job submit --runtime-env runtime_env.yaml -- \
        python jobs/evaluate.py --model /shared/student-de --data /shared/de.conll --language de --json /shared/de.json

It does not use Ray. The job brings the scoring to the machine that has the model and the gold.
"""

from __future__ import annotations

import sys

from xner_ray.cli.main import app

if __name__ == "__main__":
    app(["evaluate", *sys.argv[1:]], prog_name="jobs/evaluate.py")
