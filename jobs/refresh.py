"""The nightly refresh as a Ray job: take in what is new, train where it is worth it, promote where no language loses.

    ray job submit --runtime-env runtime_env.yaml -- python jobs/refresh.py configs/paper.yaml data=/shared/data out=/shared/paper

One at a time: a second one ends at once with exit code 2. `--dry-run` prints the plan and its cost. A night that failed left
everything as it was, and the next one goes on. `xner refresh CONFIG` does the same without a job.
"""

from __future__ import annotations

import sys

from xner_ray.cli.common import config_arguments, report_user_errors
from xner_ray.cli.preflight import look
from xner_ray.cli.refresh import night

if __name__ == "__main__":
    dry = "--dry-run" in sys.argv
    config, overrides = config_arguments([a for a in sys.argv if a != "--dry-run"], __doc__)
    if not dry:
        with report_user_errors():
            look(config, [*overrides, "ingest.max_pairs_per_language=null"])  # as the refresh takes it
    night(config, overrides, dry)
