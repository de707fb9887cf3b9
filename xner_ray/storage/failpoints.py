"""Named points in the code where a test can kill or stop the process."""

from __future__ import annotations

import os
import signal
import time


def failpoint(name: str) -> None:
    """Kill or stop a process if the environment variable XNER_FAILPOINT names this point.

    XNER_FAILPOINT is `NAME` (this process gets SIGKILL), `NAME:stop` (this process gets SIGSTOP) or `NAME:PID` (the
    process PID gets SIGKILL, and this process sleeps).
    """
    point, _, action = os.environ.get("XNER_FAILPOINT", "").partition(":")
    if point == name:
        if action.isdigit():
            os.kill(int(action), signal.SIGKILL)
            time.sleep(3600)
        os.kill(os.getpid(), signal.SIGSTOP if action == "stop" else signal.SIGKILL)
