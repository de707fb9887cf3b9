"""Score a tagger on gold sentences as a Ray job; the options are those of `xner evaluate`.

    ray job submit --runtime-env runtime_env.yaml -- \
        python jobs/evaluate.py --model /shared/student-de --data /shared/de.conll --language de --json /shared/de.json

Nothing here needs Ray: the job only brings the scoring to where model and gold lie.
"""

from __future__ import annotations

import sys

from xner_ray.cli.main import app

if __name__ == "__main__":
    app(["evaluate", *sys.argv[1:]], prog_name="jobs")
