"""A run up to the dataset over the Ray of RAY_ADDRESS, as slow as with models: `slow_driver.py CONFIG [key=value ...]`."""

from __future__ import annotations

import sys
from pathlib import Path


def main() -> None:
    from tests.harness.slow_functions import SLOW
    from xner_ray.cli.common import run_stages
    from xner_ray.pipeline.stages import label

    label.FUNCTIONS = SLOW
    run_stages(Path(sys.argv[1]), sys.argv[2:], ["dataset"])


if __name__ == "__main__":
    main()
