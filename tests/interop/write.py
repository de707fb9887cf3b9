"""write.py RUN OUT FORMAT: what `xner export` does, in an environment that has little of ours."""

import sys

from xner_ray.results.export.dataset import export_run
from xner_ray.results.run_results import RunResults

run, out, format = sys.argv[1:]
export_run(RunResults.open(run), out, format, {"train": 0.6, "validation": 0.2, "test": 0.2}, 1)
