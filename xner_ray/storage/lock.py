"""One refresh at a time, on any store that can create a file only where it is absent.

Each holder takes the next number by creating `lock/NUMBER.json`, rewrites `lock/NUMBER.beat` while it lives, and creates
`lock/NUMBER.done` when it ends. Who finds a number that is not done watches its beat: if that changes, somebody lives and there
is nothing to do tonight; if it stands still for a whole lease, its holder is dead and the next number may be taken. Clocks
are not compared, so nodes may disagree about the time; the price is that a crash costs the next one a lease of waiting.

A holder that was asleep (a suspended machine, a store that was away) finds the next number taken when it asks, `check`, and
stops. What it does before it asks harms nobody: shards and generations have one winner each, and of promotions the one with
the highest number is current.
"""

from __future__ import annotations

import json
import os
import re
import socket
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from types import TracebackType

from xner_ray.errors import UserError
from xner_ray.storage.atomic import random_id
from xner_ray.storage.blob_store import BlobStore

BEATS = 4  # in a lease, so that a lost one is no death
_CLAIM = re.compile(r"(?:.*/)?(\d{6})\.json")


class Lock:
    """A context manager that holds the lock of a place.

    Args:
        place: where the lock lies.
        seconds: a holder whose beat stands still for so long is dead.
        say: told what is waited for.

    Raises:
        UserError: on entering, where another holder lives.
    """

    def __init__(self, place: BlobStore, seconds: float, log: Callable[[str], None] = lambda line: None):
        self.place, self.seconds, self.log = place, seconds, log
        self.number = 0
        self._token = random_id()
        self._stop = threading.Event()
        self._beaten = 0.0
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Lock:
        while not self._take():
            pass
        self._beat(0)
        self._thread = threading.Thread(target=self._keep, name=f"lease {self.number}", daemon=True)
        self._thread.start()
        for number in self._numbers():
            if number < self.number:
                for end in ("json", "beat", "done"):
                    self.place.remove(_name(number, end))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if self._thread:
            self._thread.join(self.seconds)
        self.place.put(_name(self.number, "done"), b"", "lease", if_absent=True)

    def check(self) -> None:
        """Raises: UserError where this holder lost the lock; called before what nobody else may do at the same time."""
        if time.monotonic() - self._beaten > self.seconds or max(self._numbers()) > self.number:
            problem = f"refresh {self.number} lost its lock while it slept: another one may be running"
            raise UserError(
                problem, file=self.place.path("lock"), remedy="leave it to that one; the next night goes on"
            )

    def _take(self) -> bool:
        """Take the next number; False where another was faster."""
        last = max(self._numbers(), default=0)
        if last and not self.place.exists(_name(last, "done")):
            self._outlive(last)
        mine = {"token": self._token, "host": socket.gethostname(), "pid": os.getpid(), "began": _now()}
        data = json.dumps(mine).encode()
        self.place.put(_name(last + 1, "json"), data, "lease", if_absent=True)
        # Read back, since of a lost reply we learn only that the name is taken; and the holder of a higher number sweeps
        # lower ones, so that who slept since it looked could take one of those again.
        self.number = last + 1
        return self.place.get(_name(self.number, "json")) == data and max(self._numbers(), default=0) == self.number

    def _outlive(self, number: int) -> None:
        """Return once a holder is done or dead. Raises: UserError where it lives."""
        seen, began, told = self._sign(number), time.monotonic(), False
        while time.monotonic() - began < self.seconds:
            if self.place.exists(_name(number, "done")):
                return
            if self._sign(number) != seen:
                who = json.loads(self.place.get(_name(number, "json")) or b"{}")
                since = f"process {who.get('pid')} on {who.get('host')}, since {who.get('began')}"
                remedy = "wait until it has ended"
                raise UserError(f"another refresh is running: {since}", file=self.place.path("lock"), remedy=remedy)
            if not told:
                self.log(f"[lock] refresh {number} has not ended; if it is dead, its lease ends in {self.seconds:g} s")
            told = True
            time.sleep(self.seconds / (4 * BEATS))

    def _sign(self, number: int) -> bytes | None:
        return self.place.get(_name(number, "beat"))

    def _keep(self) -> None:
        count = 0
        while not self._stop.wait(self.seconds / BEATS):
            count += 1
            self._beat(count)

    def _beat(self, count: int) -> None:
        """A store that does not answer leaves the beat old, which `check` sees."""
        asked = time.monotonic()
        try:
            self.place.put(_name(self.number, "beat"), f"{self._token} {count}".encode(), "beat")
        except Exception as e:  # whatever a client raises; the thread must live to try again
            self.log(f"[lock] the store did not take a sign of life: {e}")
            return
        self._beaten = asked

    def _numbers(self) -> list[int]:
        found = (_CLAIM.fullmatch(name) for name in self.place.ages("lock"))
        return sorted(int(match[1]) for match in found if match)


def _name(number: int, end: str) -> str:
    return f"lock/{number:06d}.{end}"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
