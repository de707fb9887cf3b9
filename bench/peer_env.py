"""Virtual environments for the peers under `build/peers`, because their pinned requirements conflict with those of xner_ray.

The packages of the current environment come after its own packages in the search path. So both sides of a comparison have
the same torch, and it is not installed twice.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Sequence
from pathlib import Path

FOLDER = Path(os.environ.get("XNER_PEER_ENVS", Path(__file__).parents[1] / "build" / "peers"))


def environment(name: str, requirements: Sequence[str]) -> Path:
    """The interpreter of an environment with these requirements. It is made once, and again when they change.

    Raises:
        subprocess.CalledProcessError: pip cannot install the requirements.
    """
    folder = FOLDER / name
    marker, requirement_lines = folder / "installed.txt", "\n".join(requirements)
    python = folder / "bin" / "python"
    if not marker.exists() or marker.read_text() != requirement_lines:
        venv.create(folder, with_pip=True, clear=True)
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        base = folder / "lib" / version / "site-packages" / "zz_base.pth"
        base.write_text(sysconfig.get_paths()["purelib"] + "\n")
        subprocess.run([python, "-m", "pip", "install", "-q", *requirements], check=True)
        marker.write_text(requirement_lines)
    return python
