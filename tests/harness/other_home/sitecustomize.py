"""Hides a folder from the Python processes of a node, as if the node had another disk. Python imports it at its start.

XNER_HIDDEN_FOLDER is the folder. XNER_HIDDEN_LOG is a file. It gets a line for each process, and for each try to open a path of
the folder.
"""

import os
import sys

FOLDER, LOG = os.environ["XNER_HIDDEN_FOLDER"], os.environ["XNER_HIDDEN_LOG"]


def note(line: str) -> None:
    """Append a line, without `open`, which is audited."""
    file = os.open(LOG, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, f"{line}\n".encode())
    os.close(file)


def hide(event: str, args: tuple) -> None:
    """An audit hook: raise for a path below the folder."""
    if event in ("open", "os.listdir", "os.scandir") and isinstance(args[0], str | bytes | os.PathLike):
        path = os.fsdecode(args[0])
        if path.startswith(FOLDER):
            note(f"hidden {path}")
            raise FileNotFoundError(2, "this node does not have it", path)


note(f"process {os.getpid()}")
sys.addaudithook(hide)
