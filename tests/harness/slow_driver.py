"""A driver that runs the stages up to the dataset, as slowly as with models: `slow_driver CONFIG [key=value ...]`.

It joins the Ray cluster of RAY_ADDRESS.
"""

from __future__ import annotations

import sys
from pathlib import Path


def main() -> None:
    """Run the command."""
    from tests.harness.slow_functions import SLOW
    from xner_ray.cli.console import report_user_errors
    from xner_ray.config.load import load_config
    from xner_ray.workflows.run import run

    with report_user_errors():
        run(load_config(Path(sys.argv[1]), sys.argv[2:]), sys.argv[1], ["dataset"], functions=SLOW)


if __name__ == "__main__":
    main()
