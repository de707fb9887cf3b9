"""A driver that runs the stages up to the dataset, as slowly as with models: `slow_driver CONFIG [key=value ...]`.

It joins the Ray cluster of RAY_ADDRESS.
"""

from __future__ import annotations

import sys
from pathlib import Path


def main() -> None:
    """Run the command."""
    from tests.harness.slow_functions import SLOW
    from xner_ray.cli.common import run_stages
    from xner_ray.pipeline.stages import label

    label.FUNCTIONS = SLOW
    run_stages(Path(sys.argv[1]), sys.argv[2:], ["dataset"])


if __name__ == "__main__":
    main()
