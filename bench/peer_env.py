"""Other people's tools in environments of their own, since their pins fight ours: made once under `build/peers`.

An environment sees the packages of the one that makes it behind its own, so torch is the same on both sides of a
comparison and is not installed twice.
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
    """The interpreter of an environment with these requirements; what this environment has already is not installed.

    Raises:
        subprocess.CalledProcessError: pip cannot have them.
    """
    folder = FOLDER / name
    done, wanted = folder / "installed.txt", "\n".join(requirements)
    python = folder / "bin" / "python"
    if not done.exists() or done.read_text() != wanted:
        venv.create(folder, with_pip=True, clear=True)
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        base = folder / "lib" / version / "site-packages" / "zz_base.pth"
        base.write_text(sysconfig.get_paths()["purelib"] + "\n")
        subprocess.run([python, "-m", "pip", "install", "-q", *requirements], check=True)
        done.write_text(wanted)
    return python
