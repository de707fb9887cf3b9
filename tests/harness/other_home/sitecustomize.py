"""Hides a folder from the Python processes of a node, as if the node had another disk. Python imports it at its start.

XNER_HIDDEN_FOLDER is the folder. XNER_HIDDEN_LOG is a file. It gets a line for each process, and for each try to open a path of
the folder.
"""

import os
import sys

FOLDER = os.environ["XNER_HIDDEN_FOLDER"]
LOG = os.open(os.environ["XNER_HIDDEN_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)


def hide(event: str, args: tuple) -> None:
    """An audit hook: raise for a path of the folder."""
    if event in ("open", "os.listdir", "os.scandir") and isinstance(args[0], str | bytes | os.PathLike):
        path = os.fsdecode(args[0])
        if f"{path}/".startswith(f"{FOLDER}/"):
            os.write(LOG, f"hidden {path}\n".encode())
            raise FileNotFoundError(2, "this node does not have it", path)


os.write(LOG, f"process {os.getpid()}\n".encode())
sys.addaudithook(hide)
