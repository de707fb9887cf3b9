"""Which process wrote something, and whether it still exists."""

from __future__ import annotations

import contextlib
import os
import socket
from dataclasses import dataclass
from pathlib import Path


def process_exists(pid: int) -> bool:
    """Return whether this host has a process with this id."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@dataclass(frozen=True)
class ProcessIdentity:
    """A process, unique over hosts, restarts and containers.

    Attributes:
        host: name of the host.
        pid: process id.
        boot: id of the boot and of the namespace of process ids; empty where the system does not say.
        started: when the process started, in clock ticks since the boot; 0 where the system does not say.
    """

    host: str
    pid: int
    boot: str
    started: int

    @classmethod
    def current(cls) -> ProcessIdentity:
        """This process."""
        return cls(socket.gethostname(), os.getpid(), _boot(), _state_and_start(os.getpid())[1])

    def is_certainly_dead(self) -> bool:
        """True only if the process ran on this host since its last boot, and no longer exists."""
        if not self.boot or (self.host, self.boot) != (socket.gethostname(), _boot()):
            return False
        state, started = _state_and_start(self.pid)
        return not process_exists(self.pid) or state in ("Z", "X") or bool(started and started != self.started)


def _boot() -> str:
    with contextlib.suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    return ""


def _state_and_start(pid: int) -> tuple[str, int]:
    """State letter and start time from /proc/PID/stat, whose second field is a name in parentheses."""
    with contextlib.suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        return fields[0], int(fields[19])
    return "", 0
