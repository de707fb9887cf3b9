"""write.py RUN OUT FORMAT: does what `xner export` does, in an environment with few of our dependencies."""

import sys

from xner_ray.results.export.dataset import export_run
from xner_ray.results.export.export_types import ExportOptions
from xner_ray.results.run_results import RunResults

run, out, format = sys.argv[1:]
export_run(RunResults.open(run), out, ExportOptions(format, {"train": 0.6, "validation": 0.2, "test": 0.2}, 1))
