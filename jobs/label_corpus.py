"""Tag the source side of all pairs and project its entities, as a Ray job: the same as `xner label`.

    ray job submit --runtime-env runtime_env.yaml -- python jobs/label_corpus.py configs/tiny.yaml out=/shared/tiny

Unfinished stages that labeling needs run first. Labeled shards are skipped.
"""

from __future__ import annotations

import sys

from xner_ray.cli.main import app

if __name__ == "__main__":
    app(["label", *sys.argv[1:]], prog_name="jobs/label_corpus.py")
